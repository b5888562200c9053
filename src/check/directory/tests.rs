use std::collections::BTreeMap;

use super::*;
use crate::check::finding::Verdict;
use crate::data_dir;
use crate::disk::DiskReserve;
use crate::domain::Topic;
use crate::source::Watermarks;
use crate::source::kafka::inspection::{ClientLimits, PartitionAnswer};
use crate::store::{self, PartitionCheckpoint};

fn sound() -> DirectoryFacts {
    DirectoryFacts {
        filesystem: Ok(FilesystemKind::Local),
        shortage: Ok(None),
        reserve_bytes: 256 << 20,
        ownership: Ok(()),
        holder: Holder::Nobody,
        store: StoreState::None { snapshot: None },
    }
}

fn store_at(next_offset: i64) -> StoreFacts {
    let held = PartitionCheckpoint { next_offset, anchor: None, topic_id: None };
    StoreFacts {
        generation: 1,
        format: Some(FORMAT),
        topics: Some(Topic::ALL.map(|topic| topic.default_name().to_owned())),
        cluster: Some("abc".to_owned()),
        checkpoint: [(NamedPartition::new("jobs", 0), held)].into(),
        unknown_position: None,
    }
}

fn cluster() -> ClusterAnswer {
    let bounds = Ok(Watermarks { low: 3, high: 9 });
    let partition = PartitionAnswer { partition: 0, has_leader: true, replicas: 1, in_sync: 1, bounds };
    ClusterAnswer {
        cluster_id: Some("abc".to_owned()),
        brokers: Vec::new(),
        topics: [(Topic::Jobs, TopicAnswer::There { id: None, partitions: vec![partition] })].into(),
        details: Ok(BTreeMap::new()),
        group: Ok(()),
        limits: ClientLimits { receive_bytes: 1 },
    }
}

fn of_store_facts(store: StoreFacts, on_format_change: OnFormatChange) -> Vec<Finding> {
    let facts = DirectoryFacts { store: StoreState::There(store), ..sound() };
    store_findings(&facts, on_format_change, &TopicNames::default(), Some(&cluster()))
}

#[test]
fn each_fault_of_a_directory_is_one_finding() {
    assert_eq!(findings(Path::new("/data"), &sound())[0].verdict, Verdict::Right);
    assert_eq!(
        findings(Path::new("/data"), &DirectoryFacts { holder: Holder::Server, ..sound() })[0].verdict,
        Verdict::Right
    );
    let why = || "why".to_owned();
    for (facts, verdict, part) in [
        (DirectoryFacts { filesystem: Ok(FilesystemKind::Network("NFS")), ..sound() }, Verdict::Wrong, "NFS"),
        (DirectoryFacts { filesystem: Ok(FilesystemKind::Memory), ..sound() }, Verdict::Doubtful, "memory"),
        (
            DirectoryFacts { filesystem: Ok(FilesystemKind::ContainerLayer), ..sound() },
            Verdict::Doubtful,
            "container",
        ),
        (DirectoryFacts { filesystem: Err(why()), ..sound() }, Verdict::Doubtful, "why"),
        (DirectoryFacts { shortage: Ok(Some(1 << 20)), ..sound() }, Verdict::Wrong, "1.0 MiB free"),
        (DirectoryFacts { shortage: Err(why()), ..sound() }, Verdict::Doubtful, "why"),
        (DirectoryFacts { ownership: Err(why()), ..sound() }, Verdict::Wrong, "why"),
        (DirectoryFacts { holder: Holder::Other, ..sound() }, Verdict::Wrong, "another process"),
        (DirectoryFacts { holder: Holder::Unknown(why()), ..sound() }, Verdict::Doubtful, "why"),
    ] {
        let found = findings(Path::new("/data"), &facts);
        assert_eq!(found.len(), 1, "{found:?}");
        assert_eq!((found[0].check, found[0].verdict), (Check::DataDir, verdict), "{found:?}");
        assert!(found[0].text.contains(part) && found[0].remedy.is_some(), "{found:?}");
        assert_eq!(found[0].subject.as_deref(), Some("/data"));
    }
}

#[test]
fn a_store_is_right_only_where_serve_could_go_on_with_it() {
    use OnFormatChange::{Rebuild, Refuse};
    let other_topics = Some(["a", "b", "c"].map(str::to_owned));
    for (store, on_format_change, expected) in [
        (store_at(5), Rebuild, (Check::Store, Verdict::Right, "000001")),
        (store_at(3), Rebuild, (Check::Store, Verdict::Right, "000001")),
        (store_at(9), Rebuild, (Check::Store, Verdict::Right, "000001")),
        // What is not known proves nothing.
        (StoreFacts { generation: 1, ..StoreFacts::default() }, Rebuild, (Check::Store, Verdict::Right, "000001")),
        (store_at(2), Rebuild, (Check::Store, Verdict::Wrong, "jobs/0: the records from 2 to 3 were removed")),
        (store_at(10), Rebuild, (Check::Store, Verdict::Wrong, "jobs/0: it was read up to 10, and ends at 9")),
        (
            StoreFacts { cluster: Some("other".to_owned()), ..store_at(5) },
            Rebuild,
            (Check::Cluster, Verdict::Wrong, "cluster other"),
        ),
        (StoreFacts { topics: other_topics, ..store_at(5) }, Rebuild, (Check::Store, Verdict::Wrong, "from `a`")),
        (StoreFacts { format: Some(1), ..store_at(5) }, Rebuild, (Check::Store, Verdict::Doubtful, "format 1")),
        (StoreFacts { format: Some(1), ..store_at(5) }, Refuse, (Check::Store, Verdict::Wrong, "format 1")),
    ] {
        let found = of_store_facts(store, on_format_change);
        assert_eq!(found.len(), 1, "{found:?}");
        let (check, verdict, part) = expected;
        assert_eq!((found[0].check, found[0].verdict), (check, verdict), "{found:?}");
        assert!(found[0].text.contains(part), "{found:?}");
    }
}

#[test]
fn a_directory_is_looked_at_without_a_change() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("data");
    let reserve = DiskReserve::default();
    let facts = look(&path, reserve, None);
    assert!(matches!(facts.store, StoreState::None { snapshot: None }), "{facts:?}");
    assert_eq!((&facts.holder, &facts.ownership), (&Holder::Nobody, &Ok(())));
    assert!(!path.exists(), "nothing is made");
    let snapshot = directory.path().join("none");
    assert!(matches!(look(&path, reserve, Some(&snapshot)).store, StoreState::None { snapshot: Some(Err(_)) }));

    let lock = data_dir::lock_data_dir(&path).unwrap();
    store::open(&path, 1 << 20).unwrap().writer.finish().unwrap();
    assert_eq!(look(&path, reserve, None).holder, Holder::Other);
    drop(lock);
    let StoreState::There(facts) = look(&path, reserve, None).store else { panic!("there is one") };
    assert_eq!((facts.generation, facts.format), (1, Some(FORMAT)));
    data_dir::lock_data_dir(&path).unwrap();
}
