//! The comparison of a topic of views with the store, in whichever process has it open.

use anyhow::Context as _;

use super::context::{ToolContext, ToolOutcome};
use crate::codec::published_view::ViewsFormat;
use crate::progress::ProgressSink;
use crate::publication::{self, ViewsReport};
use crate::source::kafka::views_topic::{KafkaViewsTopic, ViewsTopicSettings};
use crate::terminal::table;

/// Compares a topic of views with the store.
pub fn compare(
    access: &ToolContext,
    topic: &str,
    format: ViewsFormat,
    watch: &mut ProgressSink<'_>,
) -> anyhow::Result<ToolOutcome> {
    let reader = access.reader()?;
    let kafka =
        access.kafka.clone().context("no brokers are known, as no process serves the store: give --brokers")?;
    let settings = ViewsTopicSettings { name: topic.to_owned(), partitions: 1, replication_factor: None };
    let mut topic = KafkaViewsTopic::new(kafka, settings, Default::default());
    let identity = topic.identity()?;
    let found = (identity.partitions, access.is_served);
    let report = publication::verify(&mut topic, reader, format, found, watch)?;
    Ok(ToolOutcome { problem_found: report.count() > 0, ..ToolOutcome::new(&report)? })
}

/// Formats a report for people.
pub fn text(report: &ViewsReport) -> String {
    let ViewsReport { records, views, missing, different, extra, differences } = report;
    let rows = [
        (*records, "records", "read from the topic"),
        (*views, "views", "seen by readers of the store"),
        (*missing, "missing", "views of which the topic has no record"),
        (*different, "different", "optimizations whose last record is not what readers see"),
        (*extra, "extra", "keys on the topic that no optimization has"),
    ];
    let mut text =
        table(rows.map(|(count, what, how)| vec![count.to_string(), what.to_owned(), how.to_owned()]).to_vec());
    if report.count() == 0 {
        return text + "The topic has every view, and nothing else.\n";
    }
    let named = differences.len() as u64;
    let first = if named < report.count() { format!(", the first {named} of them") } else { String::new() };
    text += &format!("\nDifferences: {}{first}\n", report.count());
    text + &table(differences.iter().map(|found| vec![found.how.clone(), found.id.clone()]).collect())
}
