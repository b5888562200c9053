//! The formatting of a log line's message and fields for people. Texts in them may come from events, from the cluster or
//! from clients, so characters that disturb a terminal are written as escapes, and each event stays one line. Only a
//! backtrace, which is the program's own, keeps its lines.

use std::error::Error;
use std::fmt::{self, Debug};

use tracing::field::{Field, Visit};
use tracing_subscriber::field::RecordFields;
use tracing_subscriber::fmt::FormatFields;
use tracing_subscriber::fmt::format::Writer;

use crate::terminal::printable;

/// The name of the field that keeps its line ends.
pub const BACKTRACE: &str = "backtrace";

/// The formatter of the message and the fields: `message name=value name=value`.
pub struct EscapedFields;

impl<'w> FormatFields<'w> for EscapedFields {
    fn format_fields<R: RecordFields>(&self, writer: Writer<'w>, fields: R) -> fmt::Result {
        let mut visitor = FieldWriter { writer, is_first: true, result: Ok(()) };
        fields.record(&mut visitor);
        visitor.result
    }
}

struct FieldWriter<'w> {
    writer: Writer<'w>,
    is_first: bool,
    result: fmt::Result,
}

impl FieldWriter<'_> {
    fn write(&mut self, field: &Field, value: &dyn Debug) -> fmt::Result {
        if !self.is_first {
            self.writer.write_char(' ')?;
        }
        self.is_first = false;
        match field.name() {
            "message" => {}
            name if self.writer.has_ansi_escapes() => write!(self.writer, "\x1b[3m{name}\x1b[0m\x1b[2m=\x1b[0m")?,
            name => write!(self.writer, "{name}=")?,
        }
        let text = format!("{value:?}");
        match field.name() {
            BACKTRACE => self.writer.write_str(&printable(&text)),
            _ => self.writer.write_str(&printable(&text).replace('\n', "\\n")),
        }
    }
}

impl Visit for FieldWriter<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        match field.name() {
            "message" => self.record_debug(field, &format_args!("{value}")),
            _ => self.record_debug(field, &value),
        }
    }

    fn record_error(&mut self, field: &Field, value: &(dyn Error + 'static)) {
        self.record_debug(field, &format_args!("{value}"));
    }

    fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
        // The `log` crate's metadata has been turned into the line's target and level.
        if self.result.is_ok() && !field.name().starts_with("log.") {
            self.result = self.write(field, value);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io;
    use std::sync::{Arc, Mutex};

    use super::*;

    /// Returns what `log` writes to a log of this form.
    fn logged(ansi: bool, log: impl FnOnce()) -> String {
        let written = Arc::new(Mutex::new(Vec::new()));
        let writer = {
            let written = Arc::clone(&written);
            move || SharedWriter(Arc::clone(&written))
        };
        let builder = tracing_subscriber::fmt().without_time().with_target(false).with_ansi(ansi);
        let subscriber = builder.fmt_fields(EscapedFields).with_writer(writer).finish();
        tracing::subscriber::with_default(subscriber, log);
        let bytes = written.lock().unwrap().clone();
        String::from_utf8(bytes).unwrap()
    }

    struct SharedWriter(Arc<Mutex<Vec<u8>>>);

    impl io::Write for SharedWriter {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            self.0.lock().unwrap().extend_from_slice(bytes);
            Ok(bytes.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn texts_of_others_cannot_disturb_a_terminal_or_begin_a_line_of_their_own() {
        let id = "o-1\u{1b}[31m\nERROR forged\r\u{202e}";
        let shown = "o-1\\u{1b}[31m\\nERROR forged\\u{d}\\u{202e}";
        let text = logged(false, || tracing::warn!(error = %id, count = 3, "job {id} waits"));
        assert_eq!(text, format!(" WARN job {shown} waits error={shown} count=3\n"));
        let text = logged(true, || tracing::warn!(error = %id, "job {id} waits"));
        assert!(text.contains(&format!("job {shown} waits")) && text.ends_with(&format!("{shown}\n")), "{text}");
        let span =
            logged(false, || tracing::error_span!("rebuild", store = %id).in_scope(|| tracing::warn!("waits")));
        assert_eq!(span, format!(" WARN rebuild{{store={shown}}}: waits\n"));
    }

    #[test]
    fn a_backtrace_keeps_its_lines() {
        let text = logged(false, || tracing::error!(backtrace = %"one\n  two\u{1b}", "panicked: a\nb"));
        assert_eq!(text, "ERROR panicked: a\\nb backtrace=one\n  two\\u{1b}\n");
    }
}
