//! The ends of ranges by score and by member.

/// One end of a range of scores. Infinities are ordinary values here; never NaN.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum ScoreBound {
    /// The score itself belongs to the range.
    Inclusive(f64),
    /// The score itself is outside.
    Exclusive(f64),
}

impl ScoreBound {
    /// Whether `score` lies below a range that starts here.
    #[inline]
    pub fn starts_after(self, score: f64) -> bool {
        match self {
            Self::Inclusive(bound) => score < bound,
            Self::Exclusive(bound) => score <= bound,
        }
    }

    /// Whether `score` does not lie above a range that ends here.
    #[inline]
    pub fn ends_at_or_after(self, score: f64) -> bool {
        match self {
            Self::Inclusive(bound) => score <= bound,
            Self::Exclusive(bound) => score < bound,
        }
    }
}

/// One end of a range of members, compared as bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LexBound<'a> {
    /// Before every member (`-`).
    Min,
    /// After every member (`+`).
    Max,
    /// The member itself belongs to the range.
    Inclusive(&'a [u8]),
    /// The member itself is outside.
    Exclusive(&'a [u8]),
}

impl LexBound<'_> {
    /// Whether `member` lies below a range that starts here.
    #[inline]
    pub fn starts_after(&self, member: &[u8]) -> bool {
        match *self {
            Self::Min => false,
            Self::Max => true,
            Self::Inclusive(bound) => member < bound,
            Self::Exclusive(bound) => member <= bound,
        }
    }

    /// Whether `member` does not lie above a range that ends here.
    #[inline]
    pub fn ends_at_or_after(&self, member: &[u8]) -> bool {
        match *self {
            Self::Min => false,
            Self::Max => true,
            Self::Inclusive(bound) => member <= bound,
            Self::Exclusive(bound) => member < bound,
        }
    }
}
