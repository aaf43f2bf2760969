//! An encoder that lives in this file goes through a plan, a run, the package of its model and the report of
//! one scan, by the trait of those of the crate `encoder`: frozen, and trained with the model.

use std::{path::Path, sync::atomic::AtomicBool};

use candle_core::{DType, Device, Result as CandleResult, Tensor};
use candle_nn::Init;
use encoder::{
    BrainEncoder, EncoderSettings, EncoderSpec, Error, InputShape, InputSpace, Licence,
    MediaEncoder, Result, TokenLayout, TokenPolicy, WindowLength,
};
use nn::Builder;
use pipeline::{Additions, EncoderRegistry, Execution, Loaded, OneScan, Place, Plan, Silent};
use serde::Deserialize;
use serde_json::{Value, json};
use tests::{Elsewhere, Stored, Synthetic, says};
use xtask::synthetic::Side;

const SWAP: &str = "swap-encoders";

/// Two tokens a window: the mean of either half of its frames, times `TIMES` and a weight a parcel.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Halves<const TIMES: usize> {
    #[serde(default)]
    learns: bool,
}

impl<const TIMES: usize> EncoderSettings for Halves<TIMES> {
    fn name(&self) -> &'static str {
        "halves"
    }

    fn version(&self) -> u32 {
        TIMES as u32
    }

    fn spec(&self, input: InputShape) -> Result<EncoderSpec> {
        let InputShape::Window { n_voxels: n, .. } = input else {
            let (expected, found) = ("windows of parcel series".to_owned(), input.to_string());
            return Err(Error::Input { encoder: "halves", expected, found });
        };
        Ok(EncoderSpec {
            name: "halves",
            id: "halves_v1".to_owned(),
            input: InputSpace::Parcels { atlas: None, n, coordinates: false },
            window: WindowLength::MultipleOf { of: 2, most: usize::MAX },
            t_r: None,
            normalisations: Vec::new(),
            vis_dim: n,
            layout: TokenLayout::plain(2),
            tokens: TokenPolicy::All,
            licence: Licence::named("Apache-2.0"),
            short_scans: Vec::new(),
            drops_masked: false,
        })
    }

    fn build(&self, input: InputShape, vb: Builder) -> CandleResult<MediaEncoder> {
        let spec = self.spec(input).map_err(candle_core::Error::wrap)?;
        let weights = if self.learns {
            vb.get(spec.vis_dim, "weights", Init::Const(1.))?
        } else {
            Tensor::ones(spec.vis_dim, DType::F32, &Device::Cpu)?
        };
        Ok(MediaEncoder::Brain(Box::new(Built { weights: (weights * TIMES as f64)?, spec })))
    }

    fn learns(&self) -> bool {
        self.learns
    }
}

struct Built {
    weights: Tensor,
    spec: EncoderSpec,
}

impl BrainEncoder for Built {
    fn spec(&self) -> &EncoderSpec {
        &self.spec
    }

    fn windows(&self, windows: &Tensor, _: Option<&Tensor>) -> CandleResult<Tensor> {
        let (n, n_frames, n_parcels) = windows.dims3()?;
        let halves = windows.reshape((n, 2, n_frames / 2, n_parcels))?.mean(2)?;
        halves.broadcast_mul(&self.weights)
    }
}

fn with(encoders: EncoderRegistry) -> Additions {
    Additions { encoders, ..Additions::default() }
}

fn halves() -> Additions {
    with(EncoderRegistry::default().with::<Halves<1>>("halves"))
}

/// A cohort whose windows the encoder looks at.
fn cohort(settings: &str) -> Synthetic {
    let cohort = Synthetic::new(24, Stored::All(Side::Ras), SWAP);
    let shipped = "encoder: { file: ";
    let line = format!("encoder: {{ added: {{ name: halves{settings} }} }} # ");
    cohort.edit_pipeline(shipped, &line);
    cohort
}

fn loaded(cohort: &Synthetic, additions: &Additions) -> Loaded {
    let sets = ["stages.finetune.steps=1", "stages.finetune.validate_every=1"];
    Loaded::read_with(&cohort.pipeline(), &sets.map(str::to_owned), additions).unwrap()
}

/// The report of a scan with a package alone.
fn report_of(scan: &Path, package: &Path, added: &Additions) -> Result<Value, pipeline::Error> {
    let scan = OneScan {
        path: scan,
        place: Some(Place::Window(1)),
        confounds: None,
        t_r: None,
        labels: None,
        omics: None,
    };
    let config = serde_json::from_value(json!({ "max_new_tokens": 48, "batch_size": 1 })).unwrap();
    let opening = pipeline::Opening::of(pipeline::Precision::default(), pipeline::DeviceName::Cpu)?;
    let report = pipeline::generate(package, &opening, &scan, &config, added)?;
    Ok(serde_json::to_value(report).unwrap())
}

fn probability(report: &Value) -> f64 {
    let all = report["slots"][0]["probabilities"].as_object().unwrap();
    all.values().map(|it| it.as_f64().unwrap()).fold(0.0, f64::max)
}

fn goes_the_whole_way(settings: &str, in_plan: &str) {
    let cohort = cohort(settings);
    let plan = Plan::new(loaded(&cohort, &halves())).unwrap();
    says(&plan.to_string(), &["halves_v1", in_plan]);
    let (mut silent, stop) = (Silent, AtomicBool::new(false));
    let outcome = pipeline::run(&plan, Execution::default(), &mut silent, &stop).unwrap();
    assert_eq!(outcome.n_failed, 0);

    let elsewhere = Elsewhere::new(&cohort, SWAP);
    let (first, package) = (elsewhere.first(), elsewhere.package());
    let scan = elsewhere.scan(first);
    let alone = report_of(&scan, package, &halves()).unwrap();
    assert_eq!(alone["text"], first["text"]);
    assert!((probability(&alone) - probability(first)).abs() < 1e-5, "{alone}\n{first}");
    let said = report_of(&scan, package, &Additions::default()).err().unwrap().to_string();
    says(&said, &["`halves` is not an encoder that this program adds (it adds: none)"]);
    if settings.is_empty() {
        let other = with(EncoderRegistry::default().with::<Halves<2>>("halves"));
        let said = report_of(&scan, package, &other).err().unwrap().to_string();
        says(&said, &["its encoder is another one than made the tokens"]);
    }
}

#[test]
fn a_frozen_encoder_of_another_program_goes_the_whole_way() {
    goes_the_whole_way("", "nothing to learn, tokens kept");
}

#[test]
fn an_encoder_of_another_program_is_trained_with_the_model() {
    goes_the_whole_way(", with: { learns: true }", "424 parameters trained (all that are learned)");
}

#[test]
fn an_encoder_that_is_not_there_is_refused_where_it_is_named() {
    let cohort = cohort("");
    let said = cohort.run(&[]).exits_with(2).one_error();
    says(
        &said,
        &["pipeline.yaml:", "`halves` is not an encoder that this program adds (it adds: none)"],
    );
    let set = "model.encoder.added={name: halves, with: {lerns: 1}}".to_owned();
    let loaded = Loaded::read_with(&cohort.pipeline(), &[set], &halves()).unwrap();
    let said = Plan::new(loaded).unwrap_err().to_string();
    says(&said, &["halves: unknown field `lerns`, expected `learns`"]);
}
