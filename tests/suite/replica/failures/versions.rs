//! The order of a topic's versions: whatever is read again, or was compacted, no view of a replica goes back.

use super::*;

#[test]
fn what_is_read_again_after_a_kill_takes_no_view_back() {
    let topic = MemoryTopic::new(3);
    let (mut instance, mut replica) = published(&topic);
    for version in 2..14 {
        instance.write(vec![optimization(2, version, &mut Random(version))]);
        instance.publish_all(replica.now());
    }
    // The first step leaves a note, and the others come too soon after it.
    for _ in 0..4 {
        replica.step();
    }
    let shown = |replica: &ReplicaInstance| {
        let view = replica.site.reader.get().unwrap().get(&id_of(2), None).unwrap();
        version_of(&view.expect("a view").body)
    };
    let (mut last, given) = (shown(&replica), topic.given());
    assert!(last > 2 && last < 13, "{last}: it is killed in the middle");
    replica.stop(true);
    replica.start();
    while last < 13 {
        replica.step();
        let version = shown(&replica);
        assert!(version >= last, "it goes back from {last} to {version}");
        last = version;
    }
    assert!(topic.given() > given);
}

/// The view that a mark covers is compacted away where a newer one stands behind the mark.
#[test]
fn a_mark_counts_once_what_stands_behind_it_is_read() {
    let topic = MemoryTopic::new(3);
    let (mut instance, mut replica) = published(&topic);
    topic.set_away(true);
    // The first of these versions is the one that is shown after nine writes.
    let mut version = 1;
    for _ in 0..3 {
        version += 1;
        instance.write(vec![optimization(2, version, &mut Random(version))]);
        instance.publish_all(replica.now());
    }
    while !topic.ends_with(id_of(2).as_bytes()) {
        version += 1;
        instance.write(vec![optimization(2, version, &mut Random(version))]);
        instance.publish_views(replica.now());
    }
    topic.compact(false);
    topic.set_read_max(1);
    topic.set_away(false);
    let (mut shown, mut steps) = (1, 0);
    while shown < version {
        replica.step();
        let reader = replica.site.reader.get().unwrap();
        let passed = reader.visible_position().next_offsets().values().next().copied().unwrap_or(0) as u64;
        shown = version_of(&reader.get(&id_of(2), None).unwrap().unwrap().body);
        assert!(shown + 8 >= passed, "version {shown} is shown at {passed}");
        steps += 1;
    }
    assert!(steps > 1);
}

#[test]
fn versions_that_go_back_in_a_topic_make_the_store_anew_once_and_stop_it_then() {
    let topic = MemoryTopic::new(3);
    let (_instance, mut replica) = published(&topic);
    let record = topic.last(id_of(4).as_bytes()).unwrap();
    let headers = record.headers.iter().map(|(name, value)| match *name {
        "optview-version" => (*name, Bytes::from_static(b"0")),
        _ => (*name, value.clone()),
    });
    topic.put(ViewsRecord { headers: headers.collect(), ..record.clone() });
    let report = replica.step_until("it is made anew", |report| report.state == State::Stale);
    assert!(report.last_error.unwrap().contains("has version 0"));
    for _ in 0..50 {
        replica.step();
        replica.pass(Duration::from_millis(50));
    }
    assert!(replica.keeper().is_making_anew(), "it is never complete");
    assert_eq!(replica.report().state, State::Stale, "readers see the old views, as such");
}
