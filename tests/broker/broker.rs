//! The behaviour of a killed broker that the other tests take for granted.

use optview::domain::Topic;

use crate::Test;
use crate::rig::Rig;

pub const TESTS: &[Test] = &[test!(a_broker_that_is_killed_comes_back_with_what_it_acknowledged, BrokerOfItsOwn)];

fn a_broker_that_is_killed_comes_back_with_what_it_acknowledged(rig: &Rig) {
    let broker = rig.own_broker.as_ref().expect("the test asks for one");
    rig.create_topics(1);
    rig.produce(Topic::Jobs, &[("a", "1"), ("b", "2")]);
    broker.kill();
    broker.restart();
    rig.produce(Topic::Jobs, &[("a", "3")]);
    let values: Vec<Vec<u8>> = rig.consume(Topic::Jobs).into_iter().map(|record| record.value).collect();
    assert_eq!(values, [b"1", b"2", b"3"]);
}
