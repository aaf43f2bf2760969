//! What a run directory says of pictures: their texts, and how it went with each.
use std::fmt::Write as _;

use report::generated::DISCLAIMER;
use serde::Serialize;
use serde_json::json;

use crate::{
    phases::Captions,
    plan::{PicturePlan, Plan},
};

/// How it went with one picture.
#[derive(Debug, Serialize)]
pub(crate) struct PictureRecord<'a> {
    image: &'a str,
    /// `SUCCESS` or `FAIL`.
    status: &'static str,
    /// The stage it went through, or failed in.
    stage: &'static str,
    reason: Option<&'a str>,
    /// What kind of failure it is.
    kind: Option<&'a str>,
}

/// One a picture, in the order of the table.
pub(crate) fn units<'a>(plan: &'a Plan, captions: Option<&'a Captions>) -> Vec<PictureRecord<'a>> {
    // captions are the only stage of a run over pictures
    let stage = plan.spec().stages().last().map_or("", |stage| stage.name());
    let record = |(idx, picture): (usize, &'a PicturePlan)| {
        let failure = captions.and_then(|it| it.failures.get(&idx));
        PictureRecord {
            image: &picture.name,
            status: if failure.is_some() { "FAIL" } else { "SUCCESS" },
            stage,
            reason: failure.map(|reason| reason.named.as_str()),
            kind: failure.map(|reason| reason.kind.as_str()),
        }
    };
    plan.pictures().pictures.iter().enumerate().map(record).collect()
}

/// One line a picture.
pub(crate) fn status(plan: &Plan, captions: Option<&Captions>) -> String {
    let mut table =
        "image\tpipeline_name\tpipeline_version\tpipeline_step\tstatus\treason\tkind\n".to_owned();
    let (name, version) = (&plan.spec().name, env!("CARGO_PKG_VERSION"));
    for PictureRecord { image, status, stage, reason, kind } in units(plan, captions) {
        let (image, reason) = (files::one_line(image), files::one_line(reason.unwrap_or("n/a")));
        let kind = kind.unwrap_or("n/a");
        let _ = writeln!(table, "{image}\t{name}\t{version}\t{stage}\t{status}\t{reason}\t{kind}");
    }
    table
}

/// `captions.csv` for people and spreadsheets, `captions.json` with everything.
pub(crate) fn files(plan: &Plan, seed: u64, captions: &Captions) -> [(&'static str, String); 2] {
    let plan = plan.pictures();
    let mut csv = csv::Writer::from_writer(Vec::new());
    let mut all = Vec::new();
    csv.write_record(["image", "caption", "reference"]).expect("memory takes everything");
    for written in &captions.written {
        let picture = &plan.pictures[written.picture];
        let reference = picture.references.first().map_or("", String::as_str);
        let row = [picture.name.as_str(), written.generated.text.trim(), reference];
        csv.write_record(row).expect("memory takes everything");
        all.push(json!({
            "image": picture.name,
            "sha256": picture.sha256,
            "text": written.generated.text,
            "stopped": written.generated.stopped,
            "n_tokens": written.generated.n_tokens,
            "score": written.generated.score,
            "references": picture.references,
        }));
    }
    let csv = csv.into_inner().expect("memory takes everything");
    let json = json!({
        "disclaimer": DISCLAIMER,
        "model_id": plan.model_id,
        "prompt": plan.prompt,
        "seed": seed,
        "captions": all,
    });
    let csv = String::from_utf8(csv).expect("texts are UTF-8");
    [("captions.csv", csv), ("captions.json", files::to_json(&json) + "\n")]
}
