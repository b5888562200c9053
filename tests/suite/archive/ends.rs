//! The manifest's entries beside records: the offset up to which a partition is known to have no more records, and
//! the topic's identity.

use optview::domain::{OwnedRecord, PartitionOffset, Topic, TopicPartition};
use optview::source::archive::{Appender, Archive};

use super::{appender, check, identity, names, read, some, write};

#[test]
fn how_far_a_partition_is_known_to_have_nothing_is_listed_without_a_record() {
    let directory = tempfile::tempdir().unwrap();
    let ends = |jobs: i64, runs: i64| {
        let mut appender = appender(directory.path());
        for (topic, at) in [(Topic::Jobs, jobs), (Topic::MultistartRuns, runs)] {
            appender.begin(TopicPartition::new(topic, 0), 0);
            appender.ended(TopicPartition::new(topic, 0), at);
        }
        let manifest = appender.finish().unwrap();
        let spans = manifest.spans();
        let next = |topic| spans.get(&TopicPartition { topic, partition: 0 }).map(|span| (span.first, span.next));
        assert_eq!((next(Topic::Jobs), next(Topic::MultistartRuns)), (Some((0, jobs)), Some((0, runs))));
        assert_eq!(check(directory.path()).problems, Vec::<String>::new());
    };
    // The appender has in turn no file, no open file, and one with records.
    ends(3, 2);
    ends(3, 5);
    let mut appender = appender(directory.path());
    let record = OwnedRecord {
        position: PartitionOffset { topic: Topic::Jobs, partition: 0, offset: 3 },
        ..some(1).remove(0)
    };
    write(&mut appender, &[record]);
    appender.commit().unwrap();
    appender.ended(TopicPartition::new(Topic::Jobs, 0), 9);
    appender.finish().unwrap();
    ends(9, 5);
    ends(11, 5);
    assert_eq!(read(directory.path()).len(), 1);
}

#[test]
fn a_topic_with_another_id_is_not_appended_to_an_archive() {
    let directory = tempfile::tempdir().unwrap();
    let with = |id: Option<&str>| {
        let mut identity = identity();
        identity.topics[1].id = id.map(|id| id.parse().unwrap());
        Archive::open(directory.path(), identity)
    };
    let (one, other) = ("00000000-0000-0000-0000-000000000001", "00000000-0000-0000-0000-000000000002");
    assert!(!with(None).unwrap().is_proven(Topic::Jobs));
    let archive = with(Some(one)).unwrap();
    assert!(!archive.is_proven(Topic::Jobs), "it was not known until now");
    let mut appender = Appender::new(archive, names());
    write(&mut appender, &some(1));
    assert_eq!(appender.finish().unwrap().topic_id(Topic::Jobs), Some(one.parse().unwrap()));
    assert!(with(Some(one)).unwrap().is_proven(Topic::Jobs));
    let refused = with(Some(other)).err().unwrap().to_string();
    assert!(refused.contains(one) && refused.contains("created again"), "{refused}");
    let archive = with(None).unwrap();
    assert_eq!(archive.manifest().topic_id(Topic::Jobs), Some(one.parse().unwrap()), "it is not forgotten");
    assert!(!archive.is_proven(Topic::Jobs));
}
