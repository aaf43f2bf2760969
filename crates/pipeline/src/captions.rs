//! What a run directory says of pictures: their texts, and how it went with each.
use report::generated::DISCLAIMER;
use serde_json::json;

use crate::{
    phases::Captions,
    plan::{PicturePlan, Plan},
    unit_record::UnitRecord,
};

/// One a picture, in the order of the table.
pub(crate) fn units<'a>(plan: &'a Plan, captions: Option<&'a Captions>) -> Vec<UnitRecord<'a>> {
    // captions are the only stage of a run over pictures
    let stage = plan.spec().stages().last().map_or("", |stage| stage.name());
    let record = |(idx, picture): (usize, &'a PicturePlan)| {
        let failure = captions.and_then(|it| it.failures.get(&idx));
        UnitRecord::of("image", &picture.name, stage, failure)
    };
    plan.pictures().pictures.iter().enumerate().map(record).collect()
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
