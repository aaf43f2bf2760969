//! `cohort scan`.
use anyhow::Result;

use super::Done;
use crate::{args::CohortScanArgs, print};

pub(super) fn scan(args: &CohortScanArgs) -> Result<Done> {
    let proposal = pipeline::propose_cohort(&args.dir, args.t_r)?;
    if args.json {
        print::json(&serde_json::to_value(&proposal)?)?;
        return Ok(Done::All);
    }
    print::out(&proposal.to_string())?;
    let lines = |title: &str, counts: &[pipeline::Count]| {
        if !counts.is_empty() {
            print::note(title);
        }
        counts
            .iter()
            .flat_map(pipeline::Count::lines)
            .for_each(|it| print::note(&format!("  {it}")));
    };
    lines("left out:", &proposal.left_out);
    lines("to be known:", &proposal.remarks);
    Ok(Done::All)
}
