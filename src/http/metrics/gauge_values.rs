//! Counts and offsets as the values of gauges.

/// Returns a count as the value of a gauge.
#[expect(clippy::cast_precision_loss, reason = "Prometheus knows no other numbers; exact up to 2^53")]
pub fn of_count(count: u64) -> f64 {
    count as f64
}

/// Returns an offset as the value of a gauge: NaN if it is not known.
#[expect(clippy::cast_precision_loss, reason = "Prometheus knows no other numbers; exact up to 2^53")]
pub fn of_offset(offset: Option<i64>) -> f64 {
    offset.map_or(f64::NAN, |offset| offset as f64)
}
