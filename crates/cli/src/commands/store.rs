//! `store list` and `store prune`.
use anyhow::Result;
use pipeline::counted;

use super::Done;
use crate::{
    args::{PruneArgs, StoreArgs},
    print,
};

pub(super) fn list(args: &StoreArgs) -> Result<Done> {
    let stages = pipeline::stored(&args.outputs)?;
    if args.json {
        print::json(&serde_json::to_value(&stages)?)?;
        return Ok(Done::All);
    }
    let mut lines = vec![format!(
        "{:<16}{:>9}{:>9}{:>12}{:>12}  {:<22}{}",
        "stage", "results", "scans", "MB", "MB in use", "last written", "last used"
    )];
    for it in &stages {
        let time = |time: &Option<String>| time.clone().unwrap_or_else(|| "-".to_owned());
        lines.push(format!(
            "{:<16}{:>9}{:>9}{:>12}{:>12}  {:<22}{}",
            it.stage,
            it.n_results,
            it.n_scans,
            megabytes(it.n_bytes),
            megabytes(it.n_bytes_in_use),
            time(&it.last_written),
            time(&it.last_used)
        ));
    }
    print::out(&lines.join("\n"))?;
    Ok(Done::All)
}

pub(super) fn prune(args: &PruneArgs) -> Result<Done> {
    let pruned = pipeline::prune(&args.store.outputs, args.dry_run, args.unfinished)?;
    if args.store.json {
        print::json(&serde_json::to_value(&pruned)?)?;
        return Ok(Done::All);
    }
    let done = if args.dry_run { "would be removed" } else { "removed" };
    let results = counted(pruned.n, "result");
    print::out(&format!("{results} of {} MB {done}", megabytes(pruned.n_bytes)))?;
    Ok(Done::All)
}

/// 10⁶ bytes, to a tenth.
fn megabytes(n_bytes: u64) -> String {
    format!("{:.1}", n_bytes as f64 / 1e6)
}
