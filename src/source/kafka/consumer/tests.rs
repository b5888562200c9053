//! Tests of the source over librdkafka's mock cluster: its events while its consumer is replaced, deaf, or
//! refused.

mod mock_kafka;

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::*;
use crate::domain::TopicPartition;
use crate::source::kafka::fetch_errors::{LASTING_AFTER, Meaning, meaning};
use mock_kafka::{DEADLINE, MockKafka, SourceReader, WAIT};

#[test]
fn nothing_is_lost_and_nothing_comes_twice_where_the_consumer_is_replaced_again_and_again() {
    let mut cluster = MockKafka::start(1, 3);
    cluster.send(2_000);
    let mut reading = SourceReader::start(&cluster);
    reading.until("all partitions are found", |reading| reading.source.is_complete());
    for round in 0..50 {
        cluster.send(100);
        for _ in 0..round % 5 {
            reading.poll();
        }
        reading.source.renew("the test says so");
    }
    let sent = cluster.sent;
    reading.until("all was given", |reading| reading.count() >= sent);
    reading.check(&cluster);
    assert_eq!(reading.source.cluster_health().renewals, 50);
    assert!(reading.source.cluster_health().last_renewal.is_some());
}

#[test]
fn records_that_do_not_come_come_by_a_new_consumer() {
    let mut cluster = MockKafka::start(1, 1);
    let mut reading = SourceReader::start(&cluster);
    reading.until("it is at its end", |reading| reading.ended.contains_key(&TopicPartition::new(Topic::Jobs, 0)));
    // The paused consumer never fetches again, although it is connected.
    let list = reading.source.list(reading.source.partitions.iter()).unwrap();
    reading.source.consumer.pause(&list).unwrap();
    cluster.send(5);
    reading.until("the cluster says that there is more", |reading| {
        reading.source.observation(TopicPartition::new(Topic::Jobs, 0)).is_some_and(|observed| observed.high == 5)
    });
    assert_eq!(reading.count(), 0, "they never come by this one");
    let mut now = Instant::now();
    let the_end = now + Duration::from_secs(1000);
    while reading.source.cluster_health().renewals == 0 {
        assert!(now < the_end, "the consumer is left as it is");
        now += Duration::from_secs(1);
        reading.look_at(now);
    }
    reading.until("they come", |reading| reading.count() == 5);
    reading.check(&cluster);
}

#[test]
fn brokers_that_are_rolled_one_after_another_cost_no_record_and_no_partition() {
    let mut cluster = MockKafka::start(3, 6);
    cluster.send(60);
    let mut reading = SourceReader::start(&cluster);
    reading.until("all was given", |reading| reading.source.is_complete() && reading.count() == 60);
    for round in 0..6 {
        let away = round % 3 + 1;
        cluster.mock.broker_down(away).unwrap();
        // Another broker leads these partitions meanwhile.
        for partition in 0..6 {
            let leader = if partition % 3 + 1 == away { away % 3 + 1 } else { partition % 3 + 1 };
            cluster.mock.partition_leader("jobs", partition, Some(leader)).unwrap();
        }
        cluster.send(60);
        let sent = cluster.sent;
        reading.until("all was given without it", |reading| reading.count() == sent);
        cluster.mock.broker_up(away).unwrap();
    }
    reading.check(&cluster);
}

#[test]
fn a_leader_that_is_away_is_an_error_of_its_partition_until_it_is_back() {
    let mut cluster = MockKafka::start(2, 2);
    for partition in 0..2 {
        cluster.mock.partition_leader("jobs", partition, Some(partition + 1)).unwrap();
    }
    cluster.send(20);
    let mut reading = SourceReader::start(&cluster);
    reading.until("all was given", |reading| reading.source.is_complete() && reading.count() == 20);
    cluster.mock.broker_down(2).unwrap();
    let away = TopicPartition::new(Topic::Jobs, 1);
    reading.until("it is known to be away", |reading| reading.error(away).is_some());
    let since = Instant::now();
    let observed_at = |reading: &SourceReader, partition| {
        reading.source.observation(TopicPartition::new(Topic::Jobs, partition)).map(|observed| observed.asked_at)
    };
    reading.until("the other one is asked about", |reading| observed_at(reading, 0) > Some(since));
    assert_eq!(reading.error(TopicPartition::new(Topic::Jobs, 0)), None);
    assert!(observed_at(&reading, 1) < Some(since), "nobody has confirmed it");
    cluster.mock.broker_up(2).unwrap();
    reading.until("it is back", |reading| reading.error(away).is_none() && observed_at(reading, 1) > Some(since));
}

#[test]
fn a_partition_that_is_behind_and_sends_nothing_does_not_keep_the_others_from_being_read() {
    let mut cluster = MockKafka::start(2, 2);
    let [present, away] = [0, 1].map(|partition| TopicPartition::new(Topic::Jobs, partition));
    for partition in 0..2 {
        cluster.mock.partition_leader("jobs", partition, Some(partition + 1)).unwrap();
    }
    let mut reading = SourceReader::start(&cluster);
    reading.until("both are read to their ends", |reading| {
        reading.ended.contains_key(&present) && reading.ended.contains_key(&away)
    });
    cluster.send(60_000);
    let high = |reading: &SourceReader, partition| {
        reading.source.observation(partition).map_or(0, |observed| observed.high)
    };
    // Nothing is read meanwhile. librdkafka fetches the first records of both.
    let begin = Instant::now();
    while high(&reading, present) + high(&reading, away) < 60_000 {
        assert!(begin.elapsed() < DEADLINE, "the cluster does not say that there is more");
        std::thread::sleep(WAIT);
    }
    cluster.mock.broker_down(2).unwrap();
    reading.look_at(Instant::now() + CHECK_INTERVAL);
    let of_present = high(&reading, present);
    reading.until("the other one is read", |reading| {
        reading.given.get(&present).is_some_and(|given| given.len() as i64 == of_present)
    });
    assert!(reading.count() < 60_000, "the one whose broker is away has more");
    cluster.mock.broker_up(2).unwrap();
    reading.until("all was given", |reading| reading.count() == 60_000);
    reading.check(&cluster);
}

#[test]
fn a_fetch_that_is_refused_is_an_error_until_the_partition_is_read_again() {
    let mut cluster = MockKafka::start(1, 1);
    cluster.send(5);
    let mut reading = SourceReader::start(&cluster);
    let jobs = TopicPartition::new(Topic::Jobs, 0);
    reading.until("it is at its end", |reading| reading.ended.get(&jobs) == Some(&5));
    reading.until("all partitions are at their ends", |reading| reading.ended.len() == 3);
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED;
    // Each of the fetches that may be under way is refused.
    cluster.mock.request_errors(RDKafkaApiKey::Fetch, &[refused; 3]);
    reading.until("the refusal is known", |reading| reading.error(jobs).is_some());
    assert_eq!(reading.error(jobs).as_deref(), Some("TopicAuthorizationFailed"));
    // librdkafka reports the error once, and reports nothing when it may read again, since there are no new
    // records.
    for _ in 0..10 {
        reading.poll();
    }
    assert_eq!(reading.error(jobs).as_deref(), Some("TopicAuthorizationFailed"));
    reading.ended.clear();
    let mut now = Instant::now();
    let begin = now;
    while reading.ended.is_empty() {
        assert!(begin.elapsed() < DEADLINE, "it is never read again");
        now += Duration::from_secs(1);
        reading.look_at(now);
        reading.poll();
    }
    reading.until("the error is over", |reading| reading.error(jobs).is_none());
    reading.check(&cluster);
}

/// Returns every code that librdkafka knows, in its own numbers.
fn codes() -> impl Iterator<Item = RDKafkaRespErr> {
    (-300..=1000).filter_map(|number| RDKafkaRespErr::try_from(number).ok())
}

/// Returns true if librdkafka handles this code silently by looking for another leader.
fn is_kept_by_librdkafka(code: RDKafkaErrorCode) -> bool {
    use RDKafkaErrorCode as Code;
    matches!(
        code,
        Code::OffsetNotAvailable
            | Code::UnknownTopicOrPartition
            | Code::UnknownTopicId
            | Code::LeaderNotAvailable
            | Code::NotLeaderForPartition
            | Code::BrokerNotAvailable
            | Code::ReplicaNotAvailable
            | Code::KafkaStorageError
            | Code::UnknownLeaderEpoch
            | Code::FencedLeaderEpoch
    )
}

#[test]
fn no_code_of_a_broker_costs_a_record_or_a_partition() {
    let mut cluster = MockKafka::start(1, 1);
    let mut reading = SourceReader::start(&cluster);
    reading.until("all partitions are at their ends", |reading| reading.ended.len() == 3);
    let jobs = TopicPartition::new(Topic::Jobs, 0);
    let mut tried = 0;
    for refused in codes() {
        let code = RDKafkaErrorCode::from(refused);
        let is_of_broker = code as i32 > RDKafkaErrorCode::End as i32 && code != RDKafkaErrorCode::NoError;
        if !is_of_broker || code == RDKafkaErrorCode::EndAll || meaning(code) == Meaning::OutOfRange {
            continue;
        }
        // There are more errors than requests before they are cleared.
        cluster.mock.request_errors(RDKafkaApiKey::Fetch, &[refused; 500]);
        cluster.send(2);
        if !is_kept_by_librdkafka(code) {
            let name = format!("{code:?}");
            reading.until(&format!("{name} is shown"), |reading| reading.error(jobs) == Some(name.clone()));
        }
        cluster.mock.clear_request_errors(RDKafkaApiKey::Fetch);
        let sent = cluster.sent;
        reading.until(&format!("all was given after {code:?}"), |reading| reading.count() == sent);
        assert_eq!(reading.error(jobs), None, "{code:?} is over");
        tried += 1;
    }
    assert!(tried > 100, "{tried} codes");
    assert_eq!(reading.source.cluster_health().renewals, 0);
    reading.check(&cluster);
}

#[test]
fn an_offset_that_one_answer_calls_out_of_range_is_read_as_long_as_the_cluster_has_it() {
    let mut cluster = MockKafka::start(1, 1);
    cluster.send(5);
    let mut reading = SourceReader::start(&cluster);
    let jobs = TopicPartition::new(Topic::Jobs, 0);
    reading.until("all partitions are at their ends", |reading| reading.ended.len() == 3 && reading.count() == 5);
    cluster.mock.request_errors(RDKafkaApiKey::Fetch, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_OFFSET_OUT_OF_RANGE]);
    reading.until("it is known", |reading| reading.error(jobs).as_deref() == Some("AutoOffsetReset"));
    cluster.send(5);
    let reported_at = Instant::now();
    reading.until("the cluster has been asked since", |reading| {
        reading
            .source
            .observation(TopicPartition::new(Topic::Jobs, 0))
            .is_some_and(|observed| observed.asked_at > reported_at)
    });
    let mut now = Instant::now();
    while reading.count() < 10 {
        assert!(reported_at.elapsed() < DEADLINE, "it is never read again");
        now += Duration::from_secs(1);
        reading.look_at(now);
        reading.poll();
    }
    assert_eq!(reading.error(jobs), None);
    reading.check(&cluster);
}

#[test]
fn an_offset_that_the_cluster_does_not_have_stops_its_partition() {
    let mut cluster = MockKafka::start(1, 1);
    cluster.send(5);
    let mut source = KafkaSource::new(&cluster.settings, "test").unwrap();
    let (begin, mut failed) = (Instant::now(), Vec::new());
    while failed.is_empty() {
        assert!(begin.elapsed() < DEADLINE, "it does not stop");
        let mut found = Vec::new();
        source.poll(WAIT, &mut |polled| match polled {
            SourceEvent::Found { partition, .. } => found.push(partition),
            SourceEvent::Failed { partition, reason } => failed.push((partition.topic, reason.text)),
            SourceEvent::Records(_) | SourceEvent::Ended { .. } => {}
        });
        for partition in found {
            let offset = if partition.topic == Topic::Jobs { 100 } else { 0 };
            source.assign(partition, offset).unwrap();
        }
    }
    let (topic, reason) = &failed[0];
    assert_eq!(*topic, Topic::Jobs);
    assert!(reason.contains("it was read up to 100, and ends at 5 now"), "{reason}");
}

#[test]
fn what_librdkafka_passes_over_stops_its_partition_and_says_what_it_was() {
    use RDKafkaRespErr::{
        RD_KAFKA_RESP_ERR__BAD_COMPRESSION, RD_KAFKA_RESP_ERR__BAD_MSG, RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED,
        RD_KAFKA_RESP_ERR__UNDERFLOW,
    };
    for skips in [
        RD_KAFKA_RESP_ERR__BAD_MSG,
        RD_KAFKA_RESP_ERR__BAD_COMPRESSION,
        RD_KAFKA_RESP_ERR__NOT_IMPLEMENTED,
        RD_KAFKA_RESP_ERR__UNDERFLOW,
    ] {
        let cluster = MockKafka::start(1, 1);
        let mut reading = SourceReader::start(&cluster);
        reading.until("all partitions are at their ends", |reading| reading.ended.len() == 3);
        cluster.mock.request_errors(RDKafkaApiKey::Fetch, &[skips]);
        reading.until("it stops", |reading| !reading.failed.is_empty());
        let reason = &reading.failed[0];
        assert!(reason.contains("skipped") && reason.contains("restart"), "{skips:?}: {reason}");
    }
}

#[test]
fn what_only_a_restart_mends_stops_its_partition_once_it_has_lasted() {
    let mut cluster = MockKafka::start(1, 1);
    let mut reading = SourceReader::start(&cluster);
    reading.until("all partitions are at their ends", |reading| reading.ended.len() == 3);
    let refused = RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE;
    cluster.mock.request_errors(RDKafkaApiKey::Fetch, &[refused; 100_000]);
    cluster.send(1);
    let jobs = TopicPartition::new(Topic::Jobs, 0);
    reading.until("it is shown", |reading| reading.error(jobs).as_deref() == Some("MessageSizeTooLarge"));
    for _ in 0..10 {
        reading.poll();
    }
    assert_eq!(reading.failed, Vec::<String>::new());
    for held in reading.source.partitions.iter_mut().filter(|held| held.partition.topic == Topic::Jobs) {
        held.error.as_mut().unwrap().since -= LASTING_AFTER;
    }
    reading.until("it stops", |reading| !reading.failed.is_empty());
    assert!(reading.failed[0].contains("has lasted for 10m"), "{:?}", reading.failed);
}
