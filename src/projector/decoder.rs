//! Decodes on a thread of its own, as it takes as long as folding does. What was decoded comes out in the order in which
//! it was put in.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};

use self_cell::self_cell;

use super::dead_letters;
use super::write_back::USUAL_EVENT;
use crate::codec::{self, DecodeError};
use crate::domain::{DeadLetter, Envelope, Record, Topic};
use crate::pulse::{Pulse, Stage};
use crate::source::Records;
use crate::store::Anchor;

/// Fewer records are decoded where they are folded: waking a thread would take longer.
const WORTH_A_THREAD: usize = 32;
/// How many batches may be on their way: enough that neither thread waits for the other, few enough to stay in a
/// processor's cache.
const MOST_UNDER_WAY: usize = 4;

/// What the records of a batch say, in their order.
pub type Events<'a> = Vec<Result<Envelope<'a>, Box<DeadLetter>>>;

self_cell!(
    struct DecodedRecords {
        owner: Box<dyn Records>,
        #[covariant]
        dependent: Events,
    }
);

/// Records of one partition, decoded.
pub struct Batch {
    pub topic: Topic,
    pub partition: i32,
    first: Anchor,
    last: Anchor,
    last_time: Option<i64>,
    /// How many bytes its large records have together.
    pub large_bytes: u64,
    decoded: DecodedRecords,
}

impl Batch {
    fn of(records: Box<dyn Records>) -> Batch {
        let (first, last) = (records.record(0), records.record(records.len() - 1));
        let (position, last_time) = (last.position, last.timestamp_millis);
        let (first, last) = (Anchor::of(&first), Anchor::of(&last));
        let mut large_bytes = 0;
        let decoded = DecodedRecords::new(records, |records| {
            let decode = |at| {
                let record = records.record(at);
                let size = record.value.map_or(0, <[u8]>::len);
                large_bytes += if size > USUAL_EVENT { size as u64 } else { 0 };
                decode(record, records.cut_from(at))
            };
            (0..records.len()).map(decode).collect()
        });
        Batch {
            topic: position.topic,
            partition: position.partition,
            first,
            last,
            last_time,
            large_bytes,
            decoded,
        }
    }

    pub fn events(&self) -> &Events<'_> {
        self.decoded.borrow_dependent()
    }

    /// Where the first record is that has this offset or a greater one.
    pub fn place_of(&self, offset: i64) -> usize {
        let position = |event: &Result<Envelope<'_>, Box<DeadLetter>>| match event {
            Ok(envelope) => envelope.position,
            Err(dead_letter) => dead_letter.position,
        };
        self.events().partition_point(|event| position(event).offset < offset)
    }

    /// Of the record at a place. Those of the first and the last were made where it was decoded.
    pub fn anchor(&self, at: usize) -> Anchor {
        match at {
            0 => self.first,
            at if at + 1 == self.events().len() => self.last,
            at => Anchor::of(&self.decoded.borrow_owner().record(at)),
        }
    }

    /// Of the record at a place, in milliseconds since 1970.
    pub fn time(&self, at: usize) -> Option<i64> {
        if at + 1 == self.events().len() {
            return self.last_time;
        }
        self.decoded.borrow_owner().record(at).timestamp_millis
    }
}

/// What a record says; `cut_from` is the length of its value, where it was cut short.
fn decode<'a>(mut record: Record<'a>, cut_from: Option<u64>) -> Result<Envelope<'a>, Box<DeadLetter>> {
    let (understood, value_len) = match cut_from {
        // What is left of it is not to be understood, even if it could be. Its one header is not its own.
        Some(len) => {
            record.headers.clear();
            (Err(DecodeError::CutShort(len)), len)
        }
        None => (codec::decode(&record), record.value.map_or(0, |value| value.len() as u64)),
    };
    understood.map_err(|error| Box::new(dead_letters::of(&record, value_len, &error)))
}

/// What a partition has to tell.
pub enum DecodedEvent {
    Batch(Batch),
    Ended { topic: Topic, partition: i32, position: i64 },
    Failed { topic: Topic, partition: i32, reason: String },
}

impl DecodedEvent {
    /// Which partition tells it.
    pub fn partition(&self) -> (Topic, i32) {
        match *self {
            DecodedEvent::Batch(Batch { topic, partition, .. })
            | DecodedEvent::Ended { topic, partition, .. }
            | DecodedEvent::Failed { topic, partition, .. } => (topic, partition),
        }
    }
}

enum DecoderTask {
    Decode(Box<dyn Records>),
    /// Only passed on, behind what is decoded.
    Pass(DecodedEvent),
    /// Freed there, as that takes time too.
    Drop(Batch),
}

pub struct Decoder {
    pulse: Pulse,
    work: Sender<DecoderTask>,
    done: Receiver<DecodedEvent>,
    under_way: usize,
    /// What was decoded at once, as nothing was under way.
    ready: VecDeque<DecodedEvent>,
}

impl Decoder {
    pub fn start(pulse: Pulse) -> std::io::Result<Decoder> {
        let (work, given) = channel();
        let (give, done) = channel();
        let beating = pulse.clone();
        // It ends when either end of its channels is gone.
        let run = move || {
            for work in given {
                let _beat = beating.begin(Stage::Decoder);
                let told = match work {
                    DecoderTask::Decode(records) => DecodedEvent::Batch(Batch::of(records)),
                    DecoderTask::Pass(told) => told,
                    DecoderTask::Drop(batch) => {
                        drop(batch);
                        continue;
                    }
                };
                if give.send(told).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("decoder".to_owned()).spawn(run)?;
        Ok(Decoder { pulse, work, done, under_way: 0, ready: VecDeque::new() })
    }

    /// Whether it has as much to do as it should have.
    pub fn is_full(&self) -> bool {
        self.under_way >= MOST_UNDER_WAY
    }

    pub fn is_idle(&self) -> bool {
        self.under_way == 0
    }

    /// # Panics
    /// Where decoding has panicked.
    pub fn decode(&mut self, records: Box<dyn Records>) {
        if self.under_way == 0 && records.len() < WORTH_A_THREAD {
            let _beat = self.pulse.begin(Stage::Decoder);
            self.ready.push_back(DecodedEvent::Batch(Batch::of(records)));
        } else {
            self.order(DecoderTask::Decode(records));
        }
    }

    /// Passes on what is to come after all that is being decoded.
    ///
    /// # Panics
    /// Where decoding has panicked.
    pub fn pass(&mut self, told: DecodedEvent) {
        if self.under_way == 0 { self.ready.push_back(told) } else { self.order(DecoderTask::Pass(told)) }
    }

    fn order(&mut self, work: DecoderTask) {
        self.work.send(work).expect("the decoder has not panicked");
        self.under_way += 1;
    }

    /// The next, where it is decoded; waits for it where `wait`, and something is under way.
    ///
    /// # Panics
    /// Where decoding has panicked.
    pub fn next(&mut self, wait: bool) -> Option<DecodedEvent> {
        if let Some(told) = self.ready.pop_front() {
            return Some(told);
        }
        if self.under_way == 0 {
            return None;
        }
        let told = match wait {
            true => Some(self.done.recv().expect("the decoder has not panicked")),
            false => self.done.try_recv().ok(),
        };
        self.under_way -= usize::from(told.is_some());
        told
    }

    /// Takes back what has been folded.
    pub fn drop_later(&self, batch: Batch) {
        if batch.events().len() >= WORTH_A_THREAD {
            // Where the thread is gone, it is freed here.
            let _ = self.work.send(DecoderTask::Drop(batch));
        }
    }
}
