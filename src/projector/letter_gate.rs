//! The gate that keeps every checkpoint behind the dead letters that their topic has not acknowledged. A kill between an
//! acknowledgment and the checkpoint repeats a letter; none is lost. Reading and folding go on meanwhile.

use std::time::Duration;

use crate::domain::{DeadLetter, OwnedRecord, Record};
use crate::source::{LetterOutlet, OutgoingLetter, TopicNames};
use crate::status::LetterTopicReport;

/// The longest time that the end of a projector waits for acknowledgments.
const LAST_ACKNOWLEDGMENTS_WITHIN: Duration = Duration::from_secs(3);

/// The projector's end of the way to the dead letter topic, if there is one.
pub struct LetterGate {
    topics: TopicNames,
    outlet: Option<LetterOutlet>,
}

/// The letters that were sent, counted from 1, and the number up to which all are acknowledged.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct LetterNumbers {
    pub sent: u64,
    pub acknowledged: u64,
}

impl LetterNumbers {
    /// Number of letters that are not known to be acknowledged.
    pub fn waiting(self) -> u64 {
        self.sent - self.acknowledged
    }
}

impl LetterGate {
    pub fn new(topics: TopicNames, outlet: Option<LetterOutlet>) -> LetterGate {
        LetterGate { topics, outlet }
    }

    /// Sends the record of a dead letter. `cut_from` is the length that its value had, if it was cut short.
    pub fn send(&self, record: &Record<'_>, cut_from: Option<u64>, letter: &DeadLetter) {
        if let Some(outlet) = &self.outlet {
            outlet.send(OutgoingLetter {
                partition: self.topics.partition(record.position.topic_partition()),
                record: OwnedRecord::from(record),
                cut_from,
                reason: letter.reason.clone(),
            });
        }
    }

    /// Sends a dead letter that the store has kept.
    pub fn send_kept(&self, letter: &DeadLetter) {
        self.send(&letter.record(), (!letter.is_whole()).then_some(letter.value_len), letter);
    }

    /// Returns the name of the topic, if there is one.
    pub fn topic(&self) -> Option<&str> {
        self.outlet.as_ref().map(LetterOutlet::topic)
    }

    /// Returns the numbers of the letters as of now.
    pub fn numbers(&self) -> LetterNumbers {
        self.outlet.as_ref().map_or_else(LetterNumbers::default, |outlet| {
            // In this order, so that no more are acknowledged than sent.
            let acknowledged = outlet.acknowledged();
            LetterNumbers { acknowledged, sent: outlet.sent() }
        })
    }

    /// Returns true if so many letters wait that nothing more is to be read.
    pub fn is_full(&self) -> bool {
        self.outlet.as_ref().is_some_and(LetterOutlet::is_full)
    }

    /// Gives the last letters some time to be acknowledged.
    pub fn wait_at_end(&self) {
        let Some(outlet) = &self.outlet else { return };
        outlet.wait_until_acknowledged(LAST_ACKNOWLEDGMENTS_WITHIN);
        let waiting = self.numbers().waiting();
        if waiting > 0 {
            tracing::warn!(
                topic = outlet.topic(),
                waiting,
                "dead letters are not acknowledged by their topic: the next start reads their records again"
            );
        }
    }

    /// Returns what `/status` shows of the topic, with the number of letters that it was not given, as only their count was left.
    pub fn report(&self, only_counted: u64) -> Option<LetterTopicReport> {
        let outlet = self.outlet.as_ref()?;
        let numbers = self.numbers();
        Some(LetterTopicReport {
            topic: outlet.topic().to_owned(),
            acknowledged: numbers.acknowledged,
            waiting: numbers.waiting(),
            only_counted,
            error: outlet.trouble(),
        })
    }

    /// Returns what stands still because the topic takes no letters.
    pub fn trouble(&self) -> Option<String> {
        let outlet = self.outlet.as_ref()?;
        let (topic, waiting, why) = (outlet.topic(), self.numbers().waiting(), outlet.trouble()?);
        let reading = if self.is_full() { ", and nothing more is read, as they take too much memory" } else { "" };
        Some(format!(
            "{waiting} dead letters wait for the topic `{topic}`, which takes none: {why}. No checkpoint passes \
             them{reading}: mend the topic, or restart without --dead-letter-topic"
        ))
    }
}
