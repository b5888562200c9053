//! The context of every producer: it keeps the reasons that librdkafka reports, and hands what became of each record to a function.

use rdkafka::ClientContext;
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::error::KafkaError;
use rdkafka::producer::{DeliveryResult, ProducerContext};
use rdkafka::statistics::Statistics;
use rdkafka::util::IntoOpaque;

use super::error_context::ErrorContext;

/// A function that is given the reasons, the end of a record's delivery, and what the record was sent with.
type OnDelivery<T> = Box<dyn Fn(&ErrorContext, &DeliveryResult<'_>, T) + Send + Sync>;

/// The context of a producer whose records are sent with a `T`.
pub struct DeliveryContext<T> {
    /// The reasons that librdkafka has reported.
    pub reasons: ErrorContext,
    on_delivery: OnDelivery<T>,
}

impl<T> DeliveryContext<T> {
    /// Makes a context that calls this function at the end of each delivery.
    pub fn new(
        on_delivery: impl Fn(&ErrorContext, &DeliveryResult<'_>, T) + Send + Sync + 'static,
    ) -> DeliveryContext<T> {
        DeliveryContext { reasons: ErrorContext::default(), on_delivery: Box::new(on_delivery) }
    }
}

/// The context of a producer that learns of a failed delivery in another way.
impl Default for DeliveryContext<()> {
    fn default() -> DeliveryContext<()> {
        DeliveryContext::new(|_, _, ()| {})
    }
}

impl<T: 'static> ClientContext for DeliveryContext<T> {
    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.reasons.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.reasons.error(error, reason);
    }

    fn stats(&self, statistics: Statistics) {
        self.reasons.stats(statistics);
    }
}

impl<T: IntoOpaque + 'static> ProducerContext for DeliveryContext<T> {
    type DeliveryOpaque = T;

    fn delivery(&self, result: &DeliveryResult<'_>, sent_with: T) {
        (self.on_delivery)(&self.reasons, result, sent_with);
    }
}
