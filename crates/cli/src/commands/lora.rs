//! `lora merge` and `lora export`.
use anyhow::Result;

use super::{Done, inspect::facts};
use crate::{
    args::{ExportArgs, MergeArgs},
    print,
};

pub(super) fn merge(args: &MergeArgs) -> Result<Done> {
    let merged = pipeline::merge_lora(&args.base, &args.adapter, &args.to);
    done(args.json, "changed", &merged.map_err(pipeline::Error::from)?)
}

pub(super) fn export(args: &ExportArgs) -> Result<Done> {
    let part = args.part.map(Into::into);
    let written = pipeline::export_lora(&args.model, part, &args.to);
    done(args.json, "written", &written.map_err(pipeline::Error::from)?)
}

fn done(json: bool, verb: &str, merged: &pipeline::MergedLora) -> Result<Done> {
    if json {
        return facts(true, merged);
    }
    let (changed, path) = (merged.changed.len(), merged.weights.display());
    print::out(&format!(
        "{path}: {}, {changed} {verb}",
        pipeline::counted(merged.tensors, "tensor")
    ))?;
    Ok(Done::All)
}
