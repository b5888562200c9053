//! A finding: one thing that `serve` rests on, whether it is as it must be, and what to do if it is not.

use std::fmt;

use serde::Serialize;

use crate::terminal::printable_line;

/// The things that are checked. Their names are for programs.
#[derive(
    Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, strum::VariantArray, strum::IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Check {
    /// The brokers answer, with the TLS and the password that were given.
    Brokers,
    /// The cluster is the one that the store was built from.
    Cluster,
    /// The offsets of the consumer group may be looked at.
    Group,
    /// Each topic exists and may be described, and its partitions have leaders and replicas.
    Topic,
    /// Each topic may be read.
    Read,
    /// Each topic that `serve` writes to may be written to.
    Write,
    /// Views may be published under their transactional id.
    TransactionalId,
    /// Each topic still has its first records.
    History,
    /// Each topic goes on to keep its records.
    Retention,
    /// The records that each topic takes fit the client.
    MessageSize,
    /// The clock of this machine agrees with the times of the newest records.
    Clock,
    /// The newest records of each topic are understood.
    Sample,
    /// The data directory is on a disk of this machine, has room, and may be written to.
    DataDir,
    /// The store in it can be gone on with.
    Store,
    /// The addresses are free.
    Address,
    /// The process may have enough files open.
    OpenFiles,
    /// The process may start enough threads.
    Threads,
}

/// The verdict about one thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It is as it must be.
    Right,
    /// `serve` works with it, but not as well as it could, or not for ever; or it cannot be known.
    Doubtful,
    /// `serve` does not work with it, or loses views by it.
    Wrong,
}

/// One thing that was checked.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The thing that was checked.
    pub check: Check,
    /// The topic, path or address that it is about; `None` if there is only one such thing.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The verdict.
    pub verdict: Verdict,
    /// The facts, as the rest of a sentence that begins with the subject.
    pub text: String,
    /// The remedy; `None` if it is right.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub remedy: Option<String>,
}

impl Finding {
    /// Makes a finding about the only thing of its kind.
    pub fn right(check: Check, text: impl Into<String>) -> Finding {
        Finding { check, subject: None, verdict: Verdict::Right, text: text.into(), remedy: None }
    }

    /// Makes a finding about something that `serve` works with all the same.
    pub fn doubtful(check: Check, text: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Doubtful, remedy: Some(remedy.into()), ..Finding::right(check, text) }
    }

    /// Makes a finding about something that `serve` does not work with.
    pub fn wrong(check: Check, text: impl Into<String>, remedy: impl Into<String>) -> Finding {
        Finding { verdict: Verdict::Wrong, remedy: Some(remedy.into()), ..Finding::right(check, text) }
    }

    /// Names what the finding is about.
    pub fn of(self, subject: impl Into<String>) -> Finding {
        Finding { subject: Some(subject.into()), ..self }
    }
}

/// One line: the verdict, the thing, the facts, and what to do.
impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let verdict = match self.verdict {
            Verdict::Right => "right   ",
            Verdict::Doubtful => "doubtful",
            Verdict::Wrong => "WRONG   ",
        };
        let check: &str = self.check.into();
        let subject =
            self.subject.as_ref().map(|subject| format!(" {}", printable_line(subject))).unwrap_or_default();
        write!(f, "{verdict}  {check}{subject}: {}", printable_line(&self.text))?;
        self.remedy.as_ref().map_or(Ok(()), |remedy| write!(f, ". {}", printable_line(remedy)))
    }
}

/// Lists numbers for people: the first of them, and how many more there are.
pub fn listed<T: fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    const SHOWN: usize = 8;
    let items: Vec<String> = items.into_iter().map(|item| item.to_string()).collect();
    let more = items.len().saturating_sub(SHOWN);
    let shown = items[..items.len() - more].join(", ");
    if more > 0 { format!("{shown} and {more} more") } else { shown }
}
