//! The report of a replica on its reading: what it knows of its topic, and clients that hear nothing any more.

use std::time::Duration;

use optview::domain::Timestamp;
use optview::status::{PartitionState, Report};

use super::published;
use crate::fixtures::Random;
use crate::replica::topic::MemoryTopic;
use crate::replica::world::ReplicaInstance;
use crate::replica::{check_equal, optimization};

#[tokio::test]
async fn the_status_of_a_replica_has_what_it_knows_of_its_topic() {
    let topic = MemoryTopic::new(2);
    let (_instance, mut replica) = published(&topic);
    let check = |report: &Report| {
        let kafka = report.kafka.as_ref().unwrap();
        assert_eq!(kafka.cluster_id.as_deref(), Some("a cluster"));
        assert_eq!(report.partitions.len(), 2);
        for partition in &report.partitions {
            assert_eq!(partition.checkpoint, Some(partition.position), "all is noted: {partition:?}");
        }
    };
    let report = replica.step_until("all is noted", |report| {
        report.partitions.iter().all(|partition| partition.checkpoint == Some(partition.position))
    });
    check(&report);
    for partition in &report.partitions {
        assert_eq!(partition.freshness.last_stable, partition.high);
        let confirmed = partition.freshness.confirmed_at.as_deref().expect("the end was seen");
        // How long all this took by the replica's clock depends on the disk.
        let now = Timestamp::from_millis(replica.now().millis).unwrap().to_string();
        let second = |time: &str| time[..19].to_owned();
        assert!(("2026-03-01T09:00:00".to_owned()..=second(&now)).contains(&second(confirmed)), "{confirmed}");
    }
    // It is remembered while no broker answers.
    replica.stop(false);
    topic.set_away(true);
    replica.start();
    replica.step();
    check(&replica.report());
}

#[tokio::test]
async fn a_client_that_hears_nothing_and_is_replaced_is_counted() {
    let topic = MemoryTopic::new(1);
    let (_instance, before) = published(&topic);
    topic.set_deaf(true);
    let mut replica = ReplicaInstance::new(&topic);
    let renewals = |report: &Report| report.kafka.as_ref().unwrap().renewals;
    assert_eq!((renewals(&before.report()), renewals(&replica.report())), (0, 0));
    let report = replica.step_until("its client is replaced", |report| renewals(report) > 0);
    assert!(report.kafka.unwrap().last_renewal_at.is_some());
}

#[tokio::test]
async fn a_client_that_goes_deaf_at_the_end_of_the_topic_is_told_from_one_that_has_read_all_and_is_replaced() {
    let topic = MemoryTopic::new(1);
    let (mut instance, mut replica) = published(&topic);
    let renewals = |report: &Report| report.kafka.as_ref().unwrap().renewals;
    let partition = |report: &Report| (report.partitions[0].lag_records, report.partitions[0].state);
    replica.settle();
    assert_eq!(partition(&replica.report()), (Some(0), PartitionState::Live), "a marker is all that lies behind");
    // Nothing is amiss with a client that has nothing to bring.
    for _ in 0..60 {
        replica.pass(Duration::from_secs(1));
        replica.step();
    }
    assert_eq!((renewals(&replica.report()), partition(&replica.report()).0), (0, Some(0)));
    topic.set_deaf(true);
    instance.write(vec![optimization(7, 2, &mut Random(7))]);
    instance.publish_all(replica.now());
    let report = replica.step_until("there is more", |report| partition(report).0 > Some(0));
    let (lag, state) = partition(&report);
    let of_partition = &report.partitions[0];
    assert_eq!(lag, of_partition.high.map(|high| high - of_partition.position));
    assert_eq!((state, renewals(&report)), (PartitionState::CatchingUp, 0), "it may come yet");
    replica.step_until("its client is replaced", |report| renewals(report) > 0);
    topic.set_deaf(false);
    replica.settle();
    assert_eq!(partition(&replica.report()), (Some(0), PartitionState::Live));
    check_equal(&instance.site, &replica.site).await;
}
