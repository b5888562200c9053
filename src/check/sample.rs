//! The findings about the newest records of each topic, by the decoder and the fold of `serve`, and by the doubts of `validate`.

use std::collections::{BTreeMap, BTreeSet};

use itertools::Itertools as _;

use super::finding::{Check, Finding, listed};
use crate::codec::{Framing, ValueForm};
use crate::domain::{OwnedRecord, Topic};
use crate::source::TopicNames;
use crate::source::kafka::inspection::NewestRecords;
use crate::validate::doubts::DELETES_NOTHING;
use crate::validate::input::InputRecord;
use crate::validate::outcome::{EventOutcome, FoldedFile};

/// The part of the records, one in so many, from which on a topic whose records are not understood is probably the wrong one.
const WRONG_ONE_IN: usize = 4;

/// The settings of a sample.
#[derive(Clone, Copy, Debug)]
pub struct SampleSettings<'a> {
    /// The names of the topics.
    pub names: &'a TopicNames,
    /// The frames that the values may have.
    pub framing: Framing,
    /// The most records of each topic that count.
    pub records_max: usize,
    /// True if the sample has all records that there are of optimizations.
    pub has_all_optimizations: bool,
}

/// One topic's part of the sample.
#[derive(Default)]
struct TopicSample<'a> {
    records: usize,
    /// Number of records of each form, in words.
    forms: BTreeMap<String, usize>,
    /// The distinct reasons for which records are refused: their number, and the position of the first.
    refused: BTreeMap<&'a str, (usize, String)>,
    /// The doubts by their code: the number of records that have them, the position and the text of the first.
    doubts: BTreeMap<&'static str, (usize, String, &'a str)>,
}

/// Returns the findings about the sample.
pub fn findings(newest: &NewestRecords, settings: SampleSettings<'_>) -> Vec<Finding> {
    let sampled = sampled(newest, settings.records_max);
    let inputs: Vec<InputRecord> = sampled
        .iter()
        .map(|record| InputRecord { line: 0, record: Ok((*record).clone()), has_key: true })
        .collect();
    let folded = FoldedFile::new(&inputs, settings.framing);
    let mut topics: BTreeMap<Topic, TopicSample<'_>> = BTreeMap::new();
    for (record, outcome) in sampled.iter().zip(&folded.events) {
        topics.entry(record.position.topic).or_default().take(record, outcome, settings);
    }
    let read: BTreeSet<Topic> = newest.read.keys().map(|partition| partition.topic).collect();
    let mut findings = Vec::new();
    for topic in read {
        let name = settings.names.get(topic);
        let sample = topics.remove(&topic).unwrap_or_default();
        findings.extend(sample.findings(topic, name).into_iter().map(|finding| finding.of(name)));
    }
    findings.extend(of_unlinked(&folded.unlinked_jobs(), settings));
    findings
}

/// Returns the newest records of each topic, by time.
fn sampled(newest: &NewestRecords, records_max: usize) -> Vec<&OwnedRecord> {
    let mut by_topic: BTreeMap<Topic, Vec<&OwnedRecord>> = BTreeMap::new();
    for (partition, records) in &newest.read {
        by_topic.entry(partition.topic).or_default().extend(records);
    }
    let by_time = |record: &&OwnedRecord| (record.timestamp_millis, record.position);
    let mut sampled = Vec::new();
    for mut records in by_topic.into_values() {
        records.sort_by_key(by_time);
        sampled.extend(records.split_off(records.len().saturating_sub(records_max)));
    }
    sampled.sort_by_key(by_time);
    sampled
}

impl<'a> TopicSample<'a> {
    fn take(&mut self, record: &OwnedRecord, outcome: &'a EventOutcome, settings: SampleSettings<'_>) {
        self.records += 1;
        let position = || settings.names.offset(record.position);
        match &outcome.refused {
            Some(reason) => {
                self.refused.entry(reason).or_insert_with(|| (0, position())).0 += 1;
            }
            None => {
                let form = ValueForm::of(&record.record(), settings.framing).ok().flatten();
                let form = form.map_or_else(|| "null (deleted)".to_owned(), |form| form.to_string());
                *self.forms.entry(form).or_default() += 1;
            }
        }
        // What came before the sample is not in it.
        let doubts = outcome.doubts.iter().filter(|doubt| doubt.code != DELETES_NOTHING);
        // Records are counted, and a record may have an oddity several times.
        for doubt in doubts.unique_by(|doubt| doubt.code) {
            self.doubts.entry(doubt.code).or_insert_with(|| (0, position(), &doubt.text)).0 += 1;
        }
    }

    fn findings(self, topic: Topic, name: &str) -> Vec<Finding> {
        let TopicSample { records, forms, refused, doubts } = self;
        if records == 0 {
            return vec![Finding::right(Check::Sample, "it has no records to try")];
        }
        let not_understood: usize = refused.values().map(|(count, _)| count).sum();
        let forms = listed(forms.into_iter().map(|(form, count)| format!("{count} {form}")));
        let mut findings = Vec::new();
        if not_understood == 0 {
            findings.push(Finding::right(
                Check::Sample,
                format!("its newest {records} records are understood: {forms}"),
            ));
        } else {
            let reasons =
                listed(refused.iter().map(|(reason, (count, at))| format!("{count}: {reason} (first {at})")));
            let understood = if forms.is_empty() { String::new() } else { format!("; understood are {forms}") };
            let text = format!(
                "of its newest {records} records, {not_understood} are not understood: {reasons}{understood}"
            );
            findings.push(match not_understood * WRONG_ONE_IN >= records {
                true => Finding::wrong(
                    Check::Sample,
                    text,
                    format!("Is `{name}` the topic that is meant by --topic-{topic}?"),
                ),
                false => Finding::doubtful(
                    Check::Sample,
                    text,
                    "They become dead letters; their producers should try events with `optview validate`",
                ),
            });
        }
        findings.extend(doubts.into_iter().map(|(code, (count, at, text))| {
            Finding::doubtful(
                Check::Sample,
                format!(
                    "{count} of its newest {records} records have the oddity {code}; the first is {at}: {text}"
                ),
                "Tell its producer, unless it is meant so",
            )
        }));
        findings
    }
}

fn of_unlinked(unlinked: &[&str], settings: SampleSettings<'_>) -> Option<Finding> {
    if unlinked.is_empty() {
        return None;
    }
    let (count, jobs) = (unlinked.len(), listed(unlinked.iter().map(|id| format!("`{id}`"))));
    Some(match settings.has_all_optimizations {
        true => Finding::doubtful(
            Check::Sample,
            format!("no optimization links {count} of the jobs in the sample, so that they show nothing: {jobs}"),
            "Do the producers send job_linked, or created with its job_id?",
        ),
        false => Finding::right(
            Check::Sample,
            format!(
                "{count} of the jobs in the sample are linked by no optimization in it, but may be by an older one: {jobs}"
            ),
        ),
    })
}

#[cfg(test)]
mod tests;
