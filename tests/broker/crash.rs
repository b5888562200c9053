//! However often the process is killed, and whenever, what it shows in the end is what one that was never killed shows.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::sleep;
use std::time::Duration;

use optview::codec::Encoding;
use optview::codec::encode::{encode, key};
use optview::domain::{Event, PartitionOffset, Topic};
use optview::source::kafka::producer::Producer;
use optview::synthetic::{History, HistorySettings};

use crate::Test;
use crate::dice::Dice;
use crate::rig::Rig;
use crate::server::Server;
use crate::support::{MapStore, OwnedRecord};
use crate::visible_views::VisibleViews;

pub const TESTS: &[Test] = &[test!(thirty_kills_at_random_moments_change_nothing, Broker)];

const KILLS: usize = 30;
/// Number of records a second that flow in.
const RATE: usize = 3000;

fn thirty_kills_at_random_moments_change_nothing(rig: &Rig) {
    let settings = HistorySettings { optimizations: 3000, concurrent: 400, runs: 4, ..HistorySettings::default() };
    let mut history = History::new(settings);
    let events: Vec<Event<'static>> = history.by_ref().collect();
    let records = records(&events);
    rig.create_topics(6);
    let mut dice = Dice::new(1);
    // How many may be sent: so many that there are some left for the last kill, however long the kills take.
    let allowed = AtomicUsize::new(records.len() / 4);
    std::thread::scope(|scope| {
        scope.spawn(|| flow(rig, &records, &allowed));
        for kill in 1..=KILLS {
            kill_once(rig, kill, &mut dice);
            allowed.store(records.len() / 4 + records.len() / 2 * kill / KILLS, Ordering::Relaxed);
        }
        allowed.store(records.len(), Ordering::Relaxed);
    });
    let server = Server::start(rig, &[]);
    let report = server.wait_until_all_is_kept(rig);
    assert_eq!(report.records_kept(), records.len() as i64, "each record was sent once");
    check(&report);
    let mut folded = MapStore::default();
    records.iter().for_each(|record| folded.fold(&record.decode()));
    folded.write();
    let ids: std::collections::BTreeSet<&str> =
        events.iter().filter(|event| event.body.topic() == Topic::Optimizations).map(key).collect();
    assert_eq!(ids.len(), 3000);
    let shown = VisibleViews::of(&server);
    for id in ids {
        shown.check(id, folded.response(id));
    }
    shown.check_counts(history.expectation());
}

fn check(report: &crate::server::Report) {
    report.check();
    assert_eq!(report.dead_letters, 0);
}

/// Starts it, and kills it at a moment that is one of several kinds.
fn kill_once(rig: &Rig, kill: usize, dice: &mut Dice) {
    let server = Server::start(rig, &[]);
    let millis = |dice: &mut Dice, most: usize| sleep(Duration::from_millis(dice.below(most) as u64));
    match kill % 5 {
        // Perhaps while the store opens; on one that is new too.
        1 => millis(dice, 200),
        // While it catches up.
        2 => {
            check(&server.wait_for("partitions found", |report| !report.partitions.is_empty()));
            millis(dice, 60);
        }
        // While it is live.
        3 => {
            check(&server.wait_until_live());
            millis(dice, 300);
        }
        // Just after a checkpoint, or in the next.
        4 => {
            let before = server.wait_until_live().records_kept();
            check(&server.wait_for("a checkpoint", |report| report.records_kept() > before));
            millis(dice, 60);
        }
        _ => millis(dice, 1500),
    }
    server.kill();
}

fn records(events: &[Event<'_>]) -> Vec<OwnedRecord> {
    (0..)
        .zip(events)
        .map(|(number, event)| {
            let encoding = if number % 2 == 0 { Encoding::Json } else { Encoding::Protobuf };
            let mut value = Vec::new();
            encode(event, encoding, &mut value);
            // Where it will lie is not known yet, and nothing that readers see depends on it.
            let position = PartitionOffset { topic: event.body.topic(), partition: 0, offset: number };
            OwnedRecord { position, key: key(event).as_bytes().to_vec(), value: Some(value) }
        })
        .collect()
}

/// Sends the records at a steady rate, as far as is allowed, and from there on a few at a time: they never cease to flow.
fn flow(rig: &Rig, records: &[OwnedRecord], allowed: &AtomicUsize) {
    const STEP: Duration = Duration::from_millis(20);
    let mut producer = Producer::new(&rig.settings).expect("a producer");
    let mut sent = 0;
    while sent < records.len() {
        let until = (sent + RATE / 50).min(allowed.load(Ordering::Relaxed)).max(sent + 1);
        for record in &records[sent..until] {
            let key = std::str::from_utf8(&record.key).expect("a text");
            producer.send(record.position.topic, key, record.value.as_deref()).expect("a record that is taken");
        }
        sent = until;
        producer.poll(Duration::ZERO).expect("records that are delivered");
        sleep(STEP);
    }
    assert_eq!(producer.finish().expect("records that are delivered"), records.len());
}
