//! `oom-score-adj`: how soon the kernel kills this process when memory runs out.
//!
//! The score that the process had before it was adjusted is kept, and put back when the directive is
//! switched off. There is one process, so the first of the three values is the one that is used.

use crate::config::{Config, OomScoreAdj};
use crate::memory::{kernel_file, write_kernel_file};

const PATH: &str = "/proc/self/oom_score_adj";

/// The score before it was adjusted; `None` while it is not.
#[derive(Debug, Default)]
pub(crate) struct OomScore {
    original: Option<i32>,
}

impl OomScore {
    /// Has the kernel know what the configuration says.
    pub(crate) fn apply(&mut self, config: &Config) -> Result<(), String> {
        let wanted = config.oom_score_adj;
        let original = match (wanted, self.original) {
            (OomScoreAdj::No, None) => return Ok(()),
            (OomScoreAdj::No, Some(original)) => {
                write(original)?;
                self.original = None;
                return Ok(());
            }
            (_, Some(original)) => original,
            (_, None) => {
                let score = kernel_file(PATH).trim().parse();
                score.map_err(|_| format!("cannot read {PATH}"))?
            }
        };
        write(adjusted(config, original))?;
        self.original = Some(original);
        Ok(())
    }
}

fn adjusted(config: &Config, original: i32) -> i32 {
    let [value, ..] = config.oom_score_adj_values;
    let base = if config.oom_score_adj == OomScoreAdj::Absolute { 0 } else { original };
    (base + value).clamp(-1000, 1000)
}

fn write(score: i32) -> Result<(), String> {
    write_kernel_file(PATH, &score.to_string()).map_err(|error| format!("{PATH}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_are_added_or_replaced_and_stay_in_range() {
        let mut config = Config::default();
        config.oom_score_adj_values = [100, 0, 0];
        config.oom_score_adj = OomScoreAdj::Yes;
        assert_eq!(adjusted(&config, 50), 150);
        assert_eq!(adjusted(&config, 950), 1000);
        config.oom_score_adj = OomScoreAdj::Absolute;
        assert_eq!(adjusted(&config, 50), 100);
        config.oom_score_adj_values = [-2000, 0, 0];
        assert_eq!(adjusted(&config, 50), -1000);
    }
}
