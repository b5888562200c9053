//! The metrics of the process's open files and of their limit. Connections are files, too.

use metrics::{counter, describe_counter, describe_gauge, gauge};

use super::gauge_values::of_count;
use crate::process;

/// Describes the metrics. The names of the first two are those that Prometheus's own client libraries use.
pub fn describe() {
    describe_gauge!("process_open_fds", "Files and connections that the process has open");
    describe_gauge!("process_max_fds", "Files and connections that the process may have open");
    describe_gauge!("optview_http_connections_max", "Connections that the read address takes at a time");
    describe_counter!(
        "optview_http_connections_closed_for_room_total",
        "Silent connections that were closed because others came and there was no room for them"
    );
}

/// Sets the number of connections that the read address takes, which does not change.
pub fn record_connection_limit(connections: usize) {
    gauge!("optview_http_connections_max").set(of_count(connections as u64));
    // The counter exists from the start, so that its first increase is seen.
    counter!("optview_http_connections_closed_for_room_total").increment(0);
}

/// Sets the numbers of the process's open files and of their limit.
pub fn record_files() {
    gauge!("process_max_fds").set(of_count(process::open_file_limit()));
    gauge!("process_open_fds").set(process::open_files().map_or(f64::NAN, |open| of_count(open as u64)));
}
