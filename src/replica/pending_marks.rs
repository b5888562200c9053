//! The marks that were read and do not count yet. Compaction may have removed a view before a mark because a newer one stands behind it:
//! so a mark counts once its partition has been read to an end that it had after the mark was read.

use std::collections::BTreeMap;
use std::time::Instant;

use super::marks::PartitionMark;

/// The marks of each partition that do not count yet.
#[derive(Debug, Default)]
pub struct PendingMarks(BTreeMap<i32, PendingPair>);

/// The first and the latest mark that were read, with the moments of that. Those between them are as good as the first.
#[derive(Debug)]
struct PendingPair {
    first: (Instant, PartitionMark),
    latest: Option<(Instant, PartitionMark)>,
}

impl PendingMarks {
    /// Takes in a mark that was read at this moment.
    pub fn put(&mut self, partition: i32, mark: PartitionMark, read: Instant) {
        match self.0.get_mut(&partition) {
            Some(pair) => pair.latest = Some((read, mark)),
            None => drop(self.0.insert(partition, PendingPair { first: (read, mark), latest: None })),
        }
    }

    /// Takes the mark that counts now that the end of a partition was read after it.
    pub fn take_at_end(&mut self, partition: i32) -> Option<PartitionMark> {
        let PendingPair { first, latest } = self.0.remove(&partition)?;
        Some(latest.unwrap_or(first).1)
    }

    /// Takes the mark that counts now that everything was read which a partition had at this moment.
    pub fn take_before(&mut self, partition: i32, moment: Instant) -> Option<PartitionMark> {
        let PendingPair { first, latest } = self.0.remove(&partition)?;
        match latest {
            Some((read, mark)) if read < moment => Some(mark),
            Some(latest) if first.0 < moment => {
                self.0.insert(partition, PendingPair { first: latest, latest: None });
                Some(first.1)
            }
            None if first.0 < moment => Some(first.1),
            latest => {
                self.0.insert(partition, PendingPair { first, latest });
                None
            }
        }
    }
}
