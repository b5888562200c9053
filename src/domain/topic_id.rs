//! The id that distinguishes a topic from others of the same name.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

/// The id that a cluster gives to a topic when the topic is created. A topic that is deleted and created again under the
/// same name has another id. Brokers since Kafka 2.8 give ids.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct TopicId {
    /// The upper 64 of the id's 128 bits, as Kafka's protocol has them.
    pub most_significant: i64,
    /// The lower 64 of the id's 128 bits.
    pub least_significant: i64,
}

/// An id reads like a UUID: 32 hexadecimal digits in five groups.
impl fmt::Display for TopicId {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (high, low) = (self.most_significant.cast_unsigned(), self.least_significant.cast_unsigned());
        write!(
            formatter,
            "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
            high >> 32,
            (high >> 16) & 0xffff,
            high & 0xffff,
            low >> 48,
            low & 0xffff_ffff_ffff
        )
    }
}

/// A text that is no topic id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a topic id has 32 hexadecimal digits in five groups")]
pub struct NoTopicId;

impl FromStr for TopicId {
    type Err = NoTopicId;

    fn from_str(text: &str) -> Result<TopicId, NoTopicId> {
        let digits: String = text.split('-').collect();
        let is_one = digits.len() == 32 && digits.bytes().all(|digit| digit.is_ascii_hexdigit());
        let number = u128::from_str_radix(&digits, 16).ok().filter(|_| is_one).ok_or(NoTopicId)?;
        let [high, low] = [number >> 64, number & u128::from(u64::MAX)]
            .map(|half| u64::try_from(half).expect("64 bits").cast_signed());
        Ok(TopicId { most_significant: high, least_significant: low })
    }
}

/// Serializes to the text in formats that people read, and to the two numbers in others.
impl Serialize for TopicId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if serializer.is_human_readable() {
            serializer.collect_str(self)
        } else {
            (self.most_significant, self.least_significant).serialize(serializer)
        }
    }
}

impl<'de> Deserialize<'de> for TopicId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<TopicId, D::Error> {
        if deserializer.is_human_readable() {
            let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
            return text.parse().map_err(de::Error::custom);
        }
        let (most_significant, least_significant) = Deserialize::deserialize(deserializer)?;
        Ok(TopicId { most_significant, least_significant })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_id_is_read_back_from_its_text_and_from_its_numbers() {
        for (most_significant, least_significant) in [(0, 0), (-1, 1), (i64::MIN, i64::MAX), (1 << 40, -2)] {
            let id = TopicId { most_significant, least_significant };
            assert_eq!(id.to_string().parse(), Ok(id));
            let text = serde_json::to_string(&id).unwrap();
            assert_eq!(text, format!("\"{id}\""));
            assert_eq!(serde_json::from_str::<TopicId>(&text).unwrap(), id);
            let bytes = postcard::to_allocvec(&id).unwrap();
            assert_eq!(postcard::from_bytes::<TopicId>(&bytes).unwrap(), id);
        }
        assert_eq!("0123".parse::<TopicId>(), Err(NoTopicId));
        assert_eq!("+1234567012345670123456701234567".parse::<TopicId>(), Err(NoTopicId));
    }
}
