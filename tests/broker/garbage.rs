//! Records that cannot be decoded are kept and counted, and all others are processed.

use optview::codec::encode::{encode, key};
use optview::codec::{self, Encoding};
use optview::domain::record::Header;
use optview::domain::{Event, PartitionOffset, Record, Topic};
use optview::synthetic::{History, HistorySettings};

use crate::Test;
use crate::cluster::{PutRecord, put};
use crate::dice::Dice;
use crate::rig::Rig;
use crate::server::Server;
use crate::visible_views::VisibleViews;

pub const TESTS: &[Test] =
    &[test!(a_thousand_records_of_garbage_among_good_ones_are_a_thousand_dead_letters, Broker)];

const GARBAGE: usize = 1000;
const GOOD: usize = 10_000;

fn a_thousand_records_of_garbage_among_good_ones_are_a_thousand_dead_letters(rig: &Rig) {
    let settings = HistorySettings { optimizations: 900, concurrent: 300, runs: 4, ..HistorySettings::default() };
    let mut history = History::new(settings);
    let events: Vec<Event<'static>> = history.by_ref().collect();
    assert!(events.len() > GOOD, "{}", events.len());
    let mut dice = Dice::new(7);
    let mut records: Vec<PutRecord> = events.iter().map(|event| good(event, &mut dice)).collect();
    for number in 0..GARBAGE {
        let put = garbage(number, &mut dice);
        assert!(!is_understood(&put), "garbage of kind {} is understood", number % KINDS);
        records.insert(dice.below(records.len() + 1), put);
    }
    rig.create_topics(3);
    // Garbage meets both modes of reading: some exists at the start, and some comes while live.
    let (there, to_come) = records.split_at(records.len() / 2);
    put(rig, there);
    let mut server = Server::start(rig, &[]);
    server.wait_until_live();
    put(rig, to_come);
    let report = server.wait_until_all_is_kept(rig);
    report.check();
    assert_eq!(report.dead_letters, GARBAGE as u64);
    assert!(server.is_running());
    VisibleViews::of(&server).check_counts(history.expectation());
    let (ended, _) = server.stop();
    assert!(ended.success());
    let server = Server::start(rig, &[]);
    let report = server.wait_until_all_is_kept(rig);
    assert_eq!(report.dead_letters, GARBAGE as u64);
    assert_eq!(report.views, history.expectation().optimizations);
}

fn good(event: &Event<'_>, dice: &mut Dice) -> PutRecord {
    let encoding = if dice.below(2) == 0 { Encoding::Json } else { Encoding::Protobuf };
    let mut value = Vec::new();
    encode(event, encoding, &mut value);
    PutRecord::new(event.body.topic(), key(event), value)
}

fn is_understood(put: &PutRecord) -> bool {
    let content_type = put.content_type.map(|text| ("content-type", Some(text.as_bytes())));
    let headers: Vec<Header<'_>> = content_type.into_iter().collect();
    codec::decode(&Record {
        position: PartitionOffset { topic: put.topic, partition: 0, offset: 0 },
        timestamp_millis: Some(0),
        key: put.key.as_deref(),
        value: put.value.as_deref(),
        headers,
    })
    .is_ok()
}

const KINDS: usize = 20;

fn garbage(number: usize, dice: &mut Dice) -> PutRecord {
    let topic = Topic::ALL[dice.below(3)];
    let key = format!("garbage-{number}");
    let of = |topic, value: Vec<u8>| PutRecord::new(topic, key.clone(), value);
    let job = |job_id: &str, at: &str, rest: &str| {
        let metadata = format!(r#"{{"eventId":"garbage-{number}","occurredAt":"{at}","sequence":"1"}}"#);
        of(Topic::Jobs, format!(r#"{{"metadata":{metadata},"jobId":"{job_id}",{rest}}}"#).into_bytes())
    };
    let now = "2026-03-01T09:00:00Z";
    match number % KINDS {
        0 => of(topic, Vec::new()),
        1 => of(Topic::Jobs, truncated_protobuf(dice)),
        2 => {
            let mut whole = job("j", now, r#""pending":{}"#);
            whole.value.as_mut().expect("a value").truncate(40 + dice.below(30));
            whole
        }
        3 => of(topic, br#"[1, 2, 3]"#.to_vec()),
        4 => of(topic, br#"{"hello": "world"}"#.to_vec()),
        5 if number < 20 * KINDS => of(topic, noise(dice, 900_000)),
        5 => of(topic, noise(dice, 20)),
        6 => PutRecord { content_type: Some("application/avro"), ..job("j", now, r#""pending":{}"#) },
        7 => PutRecord { content_type: Some("application/json"), ..of(topic, noise(dice, 100)) },
        8 => PutRecord { content_type: Some("application/protobuf"), ..job("j", now, r#""pending":{}"#) },
        // These are the magic byte of no wire format, and that of Confluent's with nothing after it.
        9 => of(topic, [&[0xff, 0, 0, 0, 7][..], &noise(dice, 30)].concat()),
        10 => of(topic, vec![0, 0, 0, 0]),
        11 => {
            let mut put = job("not-utf-8-", now, r#""pending":{}"#);
            let value = put.value.as_mut().expect("a value");
            let at = value.windows(10).position(|window| window == b"not-utf-8-").expect("the id");
            value[at + 9] = 0xff;
            put
        }
        // This is a null value under a key that names nothing.
        12 => PutRecord { value: None, key: Some(vec![0xff, 0xfe]), ..of(Topic::Optimizations, Vec::new()) },
        13 => PutRecord { value: None, ..of(Topic::Jobs, Vec::new()) },
        14 => job("j", "+300000-01-01T00:00:00Z", r#""pending":{}"#),
        15 => job("j", now, r#""exploded":{}"#),
        16 => job(
            "j",
            now,
            &format!(r#""completed":{{"metrics":{}1{}}}"#, r#"{"a":"#.repeat(20_000), "}".repeat(20_000)),
        ),
        17 => job("j", now, r#""pending":{},"completed":{}"#),
        18 => job("", now, r#""pending":{}"#),
        _ => job(&"j".repeat(5_000), now, r#""pending":{}"#),
    }
}

/// Returns a message that is cut within its last field, because otherwise it could be a whole message.
fn truncated_protobuf(dice: &mut Dice) -> Vec<u8> {
    // Field 2 (the job's id) claims 200 bytes, of which there are fewer.
    let mut value = vec![0x12, 200, 1];
    value.extend(std::iter::repeat_n(b'j', dice.below(200)));
    value
}

/// Returns bytes that are neither JSON nor protobuf: no message has a field numbered 0.
fn noise(dice: &mut Dice, len: usize) -> Vec<u8> {
    let mut noise = dice.bytes(len);
    noise[0] = 0x02;
    noise
}
