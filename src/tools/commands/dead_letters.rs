//! The commands under `dead-letters`.

use std::sync::atomic::AtomicBool;

use super::{ToolRequirements, show};
use crate::cli::Completion;
use crate::config::{ChosenLettersConfig, DeadLettersConfig, LetterFilter, RetryConfig};
use crate::dead_letters::LetterSelection;
use crate::tools::dead_letters_text as text;
use crate::tools::tool::Tool;

/// Runs a command under `dead-letters`.
pub fn run(config: &DeadLettersConfig, stop: &AtomicBool) -> anyhow::Result<Completion> {
    let needs = ToolRequirements { stop: Some(stop), ..ToolRequirements::default() };
    match config {
        DeadLettersConfig::List(config) => {
            let tool = Tool::DeadLetterList { selection: selection(&[], &config.filter) };
            show(&config.tool, &tool, needs, text::list)
        }
        DeadLettersConfig::Show(config) => {
            let needs = ToolRequirements { framing: config.framing, ..needs };
            show(&config.tool, &Tool::DeadLetterShow { id: config.id.clone() }, needs, text::show)
        }
        DeadLettersConfig::Retry(RetryConfig { chosen, from_topic, framing, kafka }) => {
            let ChosenLettersConfig { ids, filter, tool, .. } = chosen;
            let (selection, needs) = (selection(ids, filter), ToolRequirements { framing: *framing, ..needs });
            match from_topic.clone() {
                None => show(tool, &Tool::DeadLetterRetry { selection }, needs, text::retried),
                Some(from_topic) => {
                    let needs = ToolRequirements { kafka: kafka.as_ref(), ..needs };
                    show(tool, &Tool::DeadLetterRetryTopic { from_topic, selection }, needs, text::retried)
                }
            }
        }
        DeadLettersConfig::Discard(ChosenLettersConfig { ids, filter, tool, .. }) => {
            show(tool, &Tool::DeadLetterDiscard { selection: selection(ids, filter) }, needs, text::discarded)
        }
        DeadLettersConfig::Export(config) => {
            let (file, selection) = (config.file.clone(), selection(&[], &config.filter));
            show(&config.tool, &Tool::DeadLetterExport { selection, file }, needs, text::exported)
        }
        DeadLettersConfig::Resume(config) => {
            show(&config.tool, &Tool::DeadLetterResume { topic: config.topic.clone() }, needs, text::resumed)
        }
    }
}

fn selection(ids: &[String], filter: &LetterFilter) -> LetterSelection {
    let LetterFilter { topic, reason, before_millis, after_millis } = filter.clone();
    LetterSelection { ids: ids.to_vec(), topic, reason, before_millis, after_millis }
}
