//! Instructions for a partition that has stopped, in the words that `/status`, the log and the tools share.

/// The instruction for a topic that has other records than those that were read.
pub const CREATED_AGAIN: &str = "The views stay as they are. `optview rebuild` counts those that the topic can \
                                 no longer give, and changes nothing as long as there are any; `optview rebuild \
                                 --accept-loss` builds them from what the topic has, and keeps these for \
                                 `optview rollback --frozen`";

/// The instruction for records that were removed before they were read.
pub const REMOVED: &str = "The views stay as they are. `optview rebuild --from-archive DIR` builds them anew where an archive \
    has the records, and `optview rebuild --accept-loss` from what the topics have left; these are kept for `optview rollback \
    --frozen`";
