//! The dense form's registers, four in three bytes, to a byte each and back: 32 at a time where the
//! processor can.
//!
//! # Why the unsafe code is sound
//!
//! The functions named `avx2` are safe code compiled for processors with AVX2; calling them is unsafe
//! only because they must not run on others, and they are called only after asking the processor.

/// Registers and the bytes that hold them, in one step of the wide forms.
const WIDE: (usize, usize) = (32, 24);

/// Raises `values` to the registers packed in `packed`, as many as there are in both.
pub(super) fn raise_to(values: &mut [u8], packed: &[u8]) {
    let (values, packed) = fitting(values, packed);
    let (wide_values, values) = values.split_at_mut(values.len() / WIDE.0 * WIDE.0);
    let (wide_packed, packed) = packed.split_at(wide_values.len() / 4 * 3);
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        #[allow(unsafe_code, reason = "the processor was asked: see the module's head")]
        // SAFETY: the features that it is compiled for are there.
        unsafe {
            avx2::raise_to(wide_values, wide_packed);
        }
        return raise_portable(values, packed);
    }
    raise_portable(wide_values, wide_packed);
    raise_portable(values, packed);
}

/// Packs `values`, each below 64, into `packed`, as many as fit.
pub(super) fn pack(values: &[u8], packed: &mut [u8]) {
    let fours = (values.len() / 4).min(packed.len() / 3);
    let (values, packed) = (&values[..fours * 4], &mut packed[..fours * 3]);
    let (wide_values, values) = values.split_at(values.len() / WIDE.0 * WIDE.0);
    let (wide_packed, packed) = packed.split_at_mut(wide_values.len() / 4 * 3);
    #[cfg(target_arch = "x86_64")]
    if std::arch::is_x86_feature_detected!("avx2") {
        #[allow(unsafe_code, reason = "the processor was asked: see the module's head")]
        // SAFETY: the features that it is compiled for are there.
        unsafe {
            avx2::pack(wide_values, wide_packed);
        }
        return pack_portable(values, packed);
    }
    pack_portable(wide_values, wide_packed);
    pack_portable(values, packed);
}

/// The same number of registers of both.
fn fitting<'v, 'p>(values: &'v mut [u8], packed: &'p [u8]) -> (&'v mut [u8], &'p [u8]) {
    let fours = (values.len() / 4).min(packed.len() / 3);
    (&mut values[..fours * 4], &packed[..fours * 3])
}

fn raise_portable(values: &mut [u8], packed: &[u8]) {
    for ([a, b, c, d], &[x, y, z]) in
        values.as_chunks_mut::<4>().0.iter_mut().zip(packed.as_chunks::<3>().0)
    {
        *a = (*a).max(x & 0x3F);
        *b = (*b).max(x >> 6 | y << 2 & 0x3F);
        *c = (*c).max(y >> 4 | z << 4 & 0x3F);
        *d = (*d).max(z >> 2);
    }
}

fn pack_portable(values: &[u8], packed: &mut [u8]) {
    for ([x, y, z], &[a, b, c, d]) in
        packed.as_chunks_mut::<3>().0.iter_mut().zip(values.as_chunks::<4>().0)
    {
        *x = a | b << 6;
        *y = b >> 2 | c << 4;
        *z = c >> 4 | d << 2;
    }
}

#[cfg(target_arch = "x86_64")]
mod avx2 {
    use std::arch::x86_64::{
        __m256i, _mm256_and_si256, _mm256_extract_epi64, _mm256_madd_epi16, _mm256_maddubs_epi16,
        _mm256_max_epu8, _mm256_or_si256, _mm256_set_epi64x, _mm256_set1_epi16, _mm256_set1_epi32,
        _mm256_setr_epi8, _mm256_shuffle_epi8, _mm256_slli_epi32,
    };

    /// No byte, for a shuffle.
    const N: i8 = -1;

    #[target_feature(enable = "avx2")]
    pub(super) fn raise_to(values: &mut [u8], packed: &[u8]) {
        #[rustfmt::skip]
        let spread = _mm256_setr_epi8(
            0, 1, 2, N, 3, 4, 5, N, 6, 7, 8, N, 9, 10, 11, N,
            4, 5, 6, N, 7, 8, 9, N, 10, 11, 12, N, 13, 14, 15, N,
        );
        let (values, _) = values.as_chunks_mut::<32>();
        let (packed, _) = packed.as_chunks::<24>();
        for (values, packed) in values.iter_mut().zip(packed) {
            // The first and the last 16 bytes, of which twelve each are wanted, three in each place for four registers.
            let [a, b, c] = words(packed);
            let halves = _mm256_set_epi64x(c, b, b, a);
            let x = _mm256_shuffle_epi8(halves, spread);
            let part = |mask: i32| _mm256_and_si256(x, _mm256_set1_epi32(mask));
            let low = _mm256_or_si256(part(0x3F), _mm256_slli_epi32::<2>(part(0xFC0)));
            let high = _mm256_or_si256(
                _mm256_slli_epi32::<4>(part(0x3_F000)),
                _mm256_slli_epi32::<6>(part(0xFC_0000)),
            );
            store(values, _mm256_max_epu8(load(values), _mm256_or_si256(low, high)));
        }
    }

    #[target_feature(enable = "avx2")]
    pub(super) fn pack(values: &[u8], packed: &mut [u8]) {
        #[rustfmt::skip]
        let close_up = _mm256_setr_epi8(
            0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, N, N, N, N,
            0, 1, 2, 4, 5, 6, 8, 9, 10, 12, 13, 14, N, N, N, N,
        );
        let (values, _) = values.as_chunks::<32>();
        let (packed, _) = packed.as_chunks_mut::<24>();
        for (values, packed) in values.iter().zip(packed) {
            // Two registers to 12 bits, two of these to 24, then the three bytes of each together.
            let pairs = _mm256_maddubs_epi16(load(values), _mm256_set1_epi16(0x4001));
            let fours = _mm256_madd_epi16(pairs, _mm256_set1_epi32(0x1000_0001));
            let bytes = _mm256_shuffle_epi8(fours, close_up);
            let mut whole = [0; 32];
            store(&mut whole, bytes);
            packed[..12].copy_from_slice(&whole[..12]);
            packed[12..].copy_from_slice(&whole[16..28]);
        }
    }

    fn words<const BYTES: usize, const WORDS: usize>(bytes: &[u8; BYTES]) -> [i64; WORDS] {
        let mut words = [0; WORDS];
        for (word, bytes) in words.iter_mut().zip(bytes.as_chunks::<8>().0) {
            *word = i64::from_le_bytes(*bytes);
        }
        words
    }

    #[target_feature(enable = "avx2")]
    fn load(bytes: &[u8; 32]) -> __m256i {
        let [a, b, c, d] = words(bytes);
        _mm256_set_epi64x(d, c, b, a)
    }

    #[target_feature(enable = "avx2")]
    fn store(bytes: &mut [u8; 32], wide: __m256i) {
        let words = [
            _mm256_extract_epi64::<0>(wide),
            _mm256_extract_epi64::<1>(wide),
            _mm256_extract_epi64::<2>(wide),
            _mm256_extract_epi64::<3>(wide),
        ];
        for (bytes, word) in bytes.as_chunks_mut::<8>().0.iter_mut().zip(words) {
            *bytes = word.to_le_bytes();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rng::{Rng, SeededRng};

    #[test]
    fn what_is_packed_comes_back_in_any_number() {
        let mut rng = SeededRng::new(7);
        for len in (0..200).map(|fours| fours * 4).chain([16384]) {
            let values: Vec<u8> = (0..len).map(|_| rng.index(64) as u8).collect();
            let (mut packed, mut portable) = (vec![0xAA; len / 4 * 3], vec![0x55; len / 4 * 3]);
            pack(&values, &mut packed);
            pack_portable(&values, &mut portable);
            assert_eq!(packed, portable, "{len}");
            let before: Vec<u8> = (0..len).map(|_| rng.index(64) as u8).collect();
            let mut raised = before.clone();
            raise_to(&mut raised, &packed);
            let expected: Vec<u8> = values.iter().zip(&before).map(|(a, b)| *a.max(b)).collect();
            assert_eq!(raised, expected, "{len}");
        }
    }
}
