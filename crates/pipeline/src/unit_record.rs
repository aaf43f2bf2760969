//! How it went with pictures and items, in records and in `status.tsv`.
use std::fmt::Write as _;

use engine::Reason;
use serde::{Serialize, Serializer, ser::SerializeMap as _};

use crate::plan::Plan;

/// How it went with one of them.
#[derive(Debug)]
pub(crate) struct UnitRecord<'a> {
    /// What it is: the first column of the table.
    what: &'static str,
    name: &'a str,
    /// The stage it went through, or failed in.
    stage: &'static str,
    failure: Option<&'a Reason>,
}

impl<'a> UnitRecord<'a> {
    pub(crate) fn of(
        what: &'static str,
        name: &'a str,
        stage: &'static str,
        failure: Option<&'a Reason>,
    ) -> Self {
        Self { what, name, stage, failure }
    }

    /// `SUCCESS` or `FAIL`.
    fn status(&self) -> &'static str {
        if self.failure.is_some() { "FAIL" } else { "SUCCESS" }
    }
}

impl Serialize for UnitRecord<'_> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        let mut map = to.serialize_map(None)?;
        map.serialize_entry(self.what, self.name)?;
        map.serialize_entry("status", self.status())?;
        map.serialize_entry("stage", self.stage)?;
        map.serialize_entry("reason", &self.failure.map(|it| &it.named))?;
        map.serialize_entry("kind", &self.failure.map(|it| it.kind.as_str()))?;
        map.end()
    }
}

/// One line each.
pub(crate) fn status(plan: &Plan, units: &[UnitRecord<'_>]) -> String {
    let what = units.first().map_or("", |it| it.what);
    let mut table =
        format!("{what}\tpipeline_name\tpipeline_version\tpipeline_step\tstatus\treason\tkind\n");
    let (pipeline, version) = (&plan.spec().name, env!("CARGO_PKG_VERSION"));
    for unit in units {
        let reason = unit.failure.map_or("n/a", |it| it.named.as_str());
        let kind = unit.failure.map_or("n/a", |it| it.kind.as_str());
        let (name, reason) = (files::one_line(unit.name), files::one_line(reason));
        let (stage, status) = (unit.stage, unit.status());
        let _ =
            writeln!(table, "{name}\t{pipeline}\t{version}\t{stage}\t{status}\t{reason}\t{kind}");
    }
    table
}
