//! Random bytes and damaged records never make the decoder panic, and are refused in few words.

use std::sync::LazyLock;

use optview::domain::Topic;
use optview::domain::record::Header;
use proptest::prelude::*;
use proptest::sample::Index;

use super::case::decode;
use crate::published_events;

/// The values of a record's header `content-type`.
const CONTENT_TYPES: [&str; 4] = ["", "application/json", "application/protobuf", "application/cloudevents+json"];

fn any_topic() -> impl Strategy<Value = Topic> {
    prop_oneof![Just(Topic::Optimizations), Just(Topic::Jobs), Just(Topic::MultistartRuns)]
}

/// One change of a record's bytes.
#[derive(Clone, Debug)]
enum Damage {
    Replace(Index, u8),
    Insert(Index, Vec<u8>),
    Cut(Index),
    Repeat(Index, Index),
}

fn damage() -> impl Strategy<Value = Damage> {
    prop_oneof![
        (any::<Index>(), any::<u8>()).prop_map(|(at, byte)| Damage::Replace(at, byte)),
        (any::<Index>(), proptest::collection::vec(any::<u8>(), 1..6))
            .prop_map(|(at, new)| Damage::Insert(at, new)),
        any::<Index>().prop_map(Damage::Cut),
        (any::<Index>(), any::<Index>()).prop_map(|(from, to)| Damage::Repeat(from, to)),
    ]
}

fn apply(damage: &Damage, value: &mut Vec<u8>) {
    let at = |index: &Index, value: &[u8]| index.index(value.len() + 1);
    match damage {
        Damage::Replace(index, byte) => {
            let at = at(index, value);
            value.splice(at..(at + 1).min(value.len()), [*byte]);
        }
        Damage::Insert(index, new) => {
            let at = at(index, value);
            value.splice(at..at, new.iter().copied());
        }
        Damage::Cut(index) => value.truncate(at(index, value)),
        Damage::Repeat(from, to) => {
            let (from, to) = (at(from, value), at(to, value));
            let part = value[from.min(to)..from.max(to)].to_vec();
            value.splice(to..to, part);
        }
    }
}

/// Checks that a refusal is short, if there is one.
fn check(topic: Topic, key: &[u8], value: Option<&[u8]>, content_type: &str) {
    let headers: &[Header<'_>] = &[("content-type", Some(content_type.as_bytes())), ("ce_id", Some(b"e"))];
    if let Err(refusal) = decode(topic, key, value, headers) {
        let refusal = refusal.to_string();
        assert!(!refusal.is_empty() && refusal.len() < 1_000, "{refusal:.500}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_000, ..ProptestConfig::default() })]

    #[test]
    fn no_bytes_make_it_panic(
        topic in any_topic(),
        key in proptest::collection::vec(any::<u8>(), 0..20),
        value in proptest::option::weighted(0.95, proptest::collection::vec(any::<u8>(), 0..200)),
        frame in proptest::sample::select(&["", "\0\0\0\0\x01", "\0\0\0\0\x01\0", "{"]),
        content_type in proptest::sample::select(&CONTENT_TYPES),
    ) {
        let value = value.map(|value| [frame.as_bytes(), &value].concat());
        check(topic, &key, value.as_deref(), content_type);
    }

    #[test]
    fn no_damage_to_a_sound_record_makes_it_panic(
        which in any::<Index>(),
        damages in proptest::collection::vec(damage(), 1..4),
        other_topic in proptest::option::weighted(0.1, any_topic()),
        content_type in proptest::sample::select(&CONTENT_TYPES),
    ) {
        static VALUES: LazyLock<Vec<(Topic, Vec<u8>)>> = LazyLock::new(published_events::values);
        let (topic, mut value) = which.get(&VALUES).clone();
        damages.iter().for_each(|damage| apply(damage, &mut value));
        check(other_topic.unwrap_or(topic), b"key", Some(&value), content_type);
    }
}
