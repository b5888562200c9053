//! The decoder: a thread of its own, as decoding takes as long as folding does. Everything comes out in the order in which it was
//! put in.

use std::collections::VecDeque;
use std::sync::mpsc::{Receiver, Sender, channel};

use self_cell::self_cell;

use super::dead_letters;
use crate::codec::{self, DecodeError, Framing};
use crate::domain::{DeadLetter, Envelope, Record, TopicPartition};
use crate::pulse::{Pulse, Stage};
use crate::source::{Records, StopReason};
use crate::store::Anchor;

/// Fewer records are decoded on the projector's own thread: waking another one would take longer.
const THREAD_RECORDS_MIN: usize = 32;
/// An event has fewer bytes than this as a rule, and what it leaves in memory is counted by the record. Of a larger one, each byte
/// counts.
const USUAL_EVENT_BYTES: usize = 1_000;
/// The most batches that are under way: enough that neither thread waits for the other, few enough to stay in a processor's
/// cache.
const UNDER_WAY_MAX: usize = 4;
/// The most events that a list has room for whose allocation is kept.
const SPARE_EVENTS_MAX: usize = 1_024;

/// The events of a batch, in the order of its records; a dead letter for each record that could not be understood.
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
    pub partition: TopicPartition,
    first: Anchor,
    last: Anchor,
    last_time: Option<i64>,
    /// The bytes of its large records together.
    pub large_bytes: u64,
    decoded: DecodedRecords,
}

impl Batch {
    /// Decodes records into `events`, which is an empty list.
    fn of(records: Box<dyn Records>, framing: Framing, events: Events<'static>) -> Batch {
        let (first, last) = (records.record(0), records.record(records.len() - 1));
        let (position, last_time) = (last.position, last.timestamp_millis);
        let (first, last) = (Anchor::of(&first), Anchor::of(&last));
        let mut large_bytes = 0;
        let decoded = DecodedRecords::new(records, |records| {
            let decode = |index| {
                let record = records.record(index);
                let size = record.value.map_or(0, <[u8]>::len);
                large_bytes += if size > USUAL_EVENT_BYTES { size as u64 } else { 0 };
                decode(record, records.cut_from(index), framing)
            };
            let mut events: Events<'_> = events;
            events.extend((0..records.len()).map(decode));
            events
        });
        Batch { partition: position.topic_partition(), first, last, last_time, large_bytes, decoded }
    }

    pub fn events(&self) -> &Events<'_> {
        self.decoded.borrow_dependent()
    }

    /// Returns the index of the first record that has this offset or a greater one.
    pub fn index_of(&self, offset: i64) -> usize {
        let position = |event: &Result<Envelope<'_>, Box<DeadLetter>>| match event {
            Ok(envelope) => envelope.position,
            Err(dead_letter) => dead_letter.position,
        };
        self.events().partition_point(|event| position(event).offset < offset)
    }

    /// The anchor of record `index`. The first and the last were computed on the decoder's thread.
    pub fn anchor(&self, index: usize) -> Anchor {
        match index {
            0 => self.first,
            index if index + 1 == self.events().len() => self.last,
            index => Anchor::of(&self.decoded.borrow_owner().record(index)),
        }
    }

    /// Returns record `index` as it was read, and the length that its value had if it was cut short.
    pub fn record(&self, index: usize) -> (Record<'_>, Option<u64>) {
        let records = self.decoded.borrow_owner();
        (records.record(index), records.cut_from(index))
    }

    /// The timestamp of record `index`, in milliseconds since 1970.
    pub fn time(&self, index: usize) -> Option<i64> {
        if index + 1 == self.events().len() {
            return self.last_time;
        }
        self.decoded.borrow_owner().record(index).timestamp_millis
    }
}

/// Decodes a record. `cut_from` is the length that its value had, if the value was cut short.
fn decode<'a>(
    mut record: Record<'a>,
    cut_from: Option<u64>,
    framing: Framing,
) -> Result<Envelope<'a>, Box<DeadLetter>> {
    let (understood, value_len) = match cut_from {
        // The rest of a record that was cut short is not to be understood, even if it could be. Its one header is not its own.
        Some(len) => {
            record.headers.clear();
            (Err(DecodeError::CutShort(len)), len)
        }
        None => (codec::decode_framed(&record, framing), record.value.map_or(0, |value| value.len() as u64)),
    };
    understood.map_err(|error| Box::new(dead_letters::of(&record, value_len, &error)))
}

/// Empty lists of events whose allocations are used again. A list of a full batch is so large that the allocator would take new
/// pages for each, which was a tenth of the time of decoding.
#[derive(Default)]
struct SpareLists(Vec<Events<'static>>);

impl SpareLists {
    fn take(&mut self) -> Events<'static> {
        self.0.pop().unwrap_or_default()
    }

    /// Frees a batch but for the allocation of its list.
    fn free(&mut self, mut batch: Batch) {
        batch.decoded.with_dependent_mut(|_, events| {
            let mut events = std::mem::take(events);
            events.clear();
            if self.0.len() < UNDER_WAY_MAX && events.capacity() <= SPARE_EVENTS_MAX {
                self.0.push(without_borrows(events));
            }
        });
    }
}

/// Makes an empty list of one that is empty, with its allocation: collecting from a list into one of the same layout moves nothing.
fn without_borrows(events: Events<'_>) -> Events<'static> {
    events.into_iter().map_while(|_| None).collect()
}

/// An event of a partition, after decoding.
pub enum DecodedEvent {
    Batch(Batch),
    Ended { partition: TopicPartition, position: i64 },
    Failed { partition: TopicPartition, reason: StopReason },
}

impl DecodedEvent {
    /// The partition that the event is of.
    pub fn partition(&self) -> TopicPartition {
        match *self {
            DecodedEvent::Batch(Batch { partition, .. })
            | DecodedEvent::Ended { partition, .. }
            | DecodedEvent::Failed { partition, .. } => partition,
        }
    }
}

/// One piece of work for the decoder's thread.
enum DecoderTask {
    Decode(Box<dyn Records>),
    /// An event that is only passed on, behind what is decoded.
    Pass(DecodedEvent),
    /// A batch that is freed on the decoder's thread, as that takes time too.
    Drop(Batch),
}

/// The projector's end of the decoder's thread.
pub struct Decoder {
    pulse: Pulse,
    framing: Framing,
    work: Sender<DecoderTask>,
    done: Receiver<DecodedEvent>,
    under_way: usize,
    /// Events that were decoded at once, as nothing was under way.
    ready: VecDeque<DecodedEvent>,
}

impl Decoder {
    pub fn start(pulse: Pulse, framing: Framing) -> std::io::Result<Decoder> {
        let (work, given) = channel();
        let (give, done) = channel();
        let beating = pulse.clone();
        // The thread ends when either end of its channels is gone.
        let run = move || {
            let mut spare = SpareLists::default();
            for work in given {
                let _beat = beating.begin(Stage::Decoder);
                let event = match work {
                    DecoderTask::Decode(records) => DecodedEvent::Batch(Batch::of(records, framing, spare.take())),
                    DecoderTask::Pass(event) => event,
                    DecoderTask::Drop(batch) => {
                        spare.free(batch);
                        continue;
                    }
                };
                if give.send(event).is_err() {
                    return;
                }
            }
        };
        std::thread::Builder::new().name("decoder".to_owned()).spawn(run)?;
        Ok(Decoder { pulse, framing, work, done, under_way: 0, ready: VecDeque::new() })
    }

    /// Returns true if the thread has as much to do as it should have.
    pub fn is_full(&self) -> bool {
        self.under_way >= UNDER_WAY_MAX
    }

    pub fn is_idle(&self) -> bool {
        self.under_way == 0
    }

    /// # Panics
    /// Panics if decoding has panicked.
    pub fn decode(&mut self, records: Box<dyn Records>) {
        if self.under_way == 0 && records.len() < THREAD_RECORDS_MIN {
            let _beat = self.pulse.begin(Stage::Decoder);
            self.ready.push_back(DecodedEvent::Batch(Batch::of(records, self.framing, Vec::new())));
        } else {
            self.order(DecoderTask::Decode(records));
        }
    }

    /// Passes on an event that is to come after everything that is being decoded.
    ///
    /// # Panics
    /// Panics if decoding has panicked.
    pub fn pass(&mut self, event: DecodedEvent) {
        if self.under_way == 0 { self.ready.push_back(event) } else { self.order(DecoderTask::Pass(event)) }
    }

    fn order(&mut self, work: DecoderTask) {
        self.work.send(work).expect("the decoder has not panicked");
        self.under_way += 1;
    }

    /// Returns the next event, if it is decoded. If `wait` is set and something is under way, waits for it.
    ///
    /// # Panics
    /// Panics if decoding has panicked.
    pub fn next(&mut self, wait: bool) -> Option<DecodedEvent> {
        if let Some(event) = self.ready.pop_front() {
            return Some(event);
        }
        if self.under_way == 0 {
            return None;
        }
        let event = match wait {
            true => Some(self.done.recv().expect("the decoder has not panicked")),
            false => self.done.try_recv().ok(),
        };
        self.under_way -= usize::from(event.is_some());
        event
    }

    /// Takes back a batch that has been folded, to free it on the decoder's thread.
    pub fn drop_later(&self, batch: Batch) {
        if batch.events().len() >= THREAD_RECORDS_MIN {
            // If the thread is gone, the batch is freed here.
            let _ = self.work.send(DecoderTask::Drop(batch));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_empty_list_keeps_its_allocation() {
        let events: Events<'_> = Vec::with_capacity(512);
        let begin = events.as_ptr().addr();
        let events = without_borrows(events);
        assert_eq!((events.len(), events.capacity(), events.as_ptr().addr()), (0, 512, begin));
    }
}
