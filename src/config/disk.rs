//! The option for the free space that stays on a disk.

use clap::Args;

use super::values;
use crate::disk::DiskReserve;

#[derive(Args)]
pub struct DiskReserveArgs {
    /// Begin, and go on, only where the disk keeps so much free
    #[arg(id = "min_free_disk", long = "min-free-disk", value_name = "BYTES", default_value = "256MiB")]
    #[arg(value_parser = values::bytes(0))]
    floor_bytes: u64,
}

impl From<DiskReserveArgs> for DiskReserve {
    fn from(DiskReserveArgs { floor_bytes }: DiskReserveArgs) -> DiskReserve {
        DiskReserve { floor_bytes }
    }
}

read_as!(DiskReserve, DiskReserveArgs);
