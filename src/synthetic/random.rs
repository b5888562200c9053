//! The generator of pseudo-random numbers: SplitMix64 (Steele, Lea and Flood, OOPSLA 2014), as used by Java's
//! `SplittableRandom` and by the seeding of xoshiro.
//!
//! It is written out because its stream is a promise: a seed must give the same history in every later version, so
//! that figures stay comparable, and no crate that we know of promises that for ranges and choices too. Not for
//! secrets.

#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    /// Creates one stream of a seed. Streams are independent: adding a later one does not change earlier ones.
    pub fn new(seed: u64, stream: u64) -> Random {
        let mut streams = Random(seed);
        let origin = streams.next();
        let mut offset = Random(stream);
        Random(origin ^ offset.next())
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Returns one of `0..bound`, or 0 if that range is empty.
    pub fn below(&mut self, bound: u64) -> u64 {
        // The high half of a product distributes the numbers evenly enough for a bound far below 2^64.
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    pub fn index(&mut self, length: usize) -> usize {
        usize::try_from(self.below(length as u64)).expect("less than a length")
    }

    pub fn percent(&mut self, chance: u64) -> bool {
        self.below(100) < chance
    }

    pub fn choose<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.index(from.len())]
    }

    /// Returns a number with up to six digits after the point, like a measurement.
    pub fn fraction(&mut self, least: u64, most: u64) -> f64 {
        let millionths = least * 1_000_000 + self.below((most - least) * 1_000_000);
        millionths as f64 / 1e6
    }

    /// Returns a text like a UUID of version 4.
    pub fn uuid(&mut self) -> String {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        let high = (self.next() & !0xf000) | 0x4000;
        let low = (self.next() & !(0b11 << 62)) | (0b10 << 62);
        let bits = (u128::from(high) << 64) | u128::from(low);
        let mut text = String::with_capacity(36);
        for digit in (0..32).rev() {
            if matches!(digit, 23 | 19 | 15 | 11) {
                text.push('-');
            }
            text.push(char::from(DIGITS[(bits >> (digit * 4)) as usize & 0xf]));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_stream_is_that_of_splitmix64() {
        // These are the reference implementation's first outputs for this seed.
        let mut random = Random(1_234_567);
        let reference = [6_457_827_717_110_365_317, 3_203_168_211_198_807_973, 9_817_491_932_198_370_423];
        assert_eq!(reference.map(|_| random.next()), reference);
    }

    #[test]
    fn a_uuid_has_its_version_and_variant() {
        let mut random = Random::new(1, 1);
        for _ in 0..100 {
            let uuid = random.uuid();
            let groups: Vec<usize> = uuid.split('-').map(str::len).collect();
            assert_eq!(groups, [8, 4, 4, 4, 12], "{uuid}");
            assert_eq!(uuid.as_bytes()[14], b'4', "{uuid}");
            assert!(b"89ab".contains(&uuid.as_bytes()[19]), "{uuid}");
        }
    }

    #[test]
    fn below_stays_below_and_reaches_everything() {
        let mut random = Random::new(7, 0);
        let mut seen = [0; 5];
        for _ in 0..1000 {
            seen[random.index(5)] += 1;
        }
        assert!(seen.iter().all(|&times| times > 100), "{seen:?}");
        assert_eq!(random.below(0), 0);
    }
}
