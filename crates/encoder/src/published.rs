//! What a weight file of a published encoder is, told by its tensors: for those who import it.

use std::path::{Path, PathBuf};

use nn::weights::Frozen;

use crate::{
    BrainJepaConfig, BrainLmConfig, BrainLmNetwork, BrainMtConfig, BrainMtSize,
    BrainSemantoksConfig, CortexMaeConfig, EncoderConfig, Error, Licence, Result, SwiftConfig,
    TokenPolicy, Trainable, WeightsSource, brain_jepa, brain_semantoks, brainlm, brainmt,
    cortex_mae, swift,
};

/// Encoders whose weight files are read, by their names in a pipeline file.
pub const PUBLISHED: [&str; 6] =
    ["brainlm", "brainmt", brain_jepa::NAME, cortex_mae::NAME, brain_semantoks::NAME, swift::NAME];

/// A weight file that is whole: every tensor is one of its network's, and none is missing.
#[derive(Clone, Debug)]
pub struct Published {
    /// The encoder as a pipeline file says it, with the file as its weights.
    pub config: EncoderConfig,
    /// Name and version of the architecture.
    pub id: String,
    /// What it is, in words.
    pub what: String,
    /// What was taken to be as in the published networks, because nothing said it.
    pub assumed: Option<&'static str>,
    /// Licence of the weights.
    pub licence: Licence,
    /// Its tensors, under the names that the network asks for.
    pub weights: Frozen,
}

/// What the tensors do not tell.
#[derive(Clone, Copy, Debug, Default)]
pub struct Unsaid<'a> {
    /// The published `config.json`; absent: the one beside the weights, if there is one.
    pub config_json: Option<&'a Path>,
    /// Heads of the attention.
    pub n_heads: Option<usize>,
    /// Brain-JEPA's table of the parcels' places along the gradients.
    pub gradients: Option<&'a Path>,
}

impl Published {
    /// Opens the weights of the encoder that is called `name` in a pipeline file: a file, or a folder
    /// of Hugging Face. Which of an encoder's architectures it is, its tensors tell.
    ///
    /// # Errors
    /// Names the file, and the other network, the tensor or what is missing.
    pub fn open(name: &str, weights: &Path, unsaid: Unsaid<'_>) -> Result<Self> {
        let path = weight_file(weights)?;
        if let Some(gradients) = unsaid.gradients.filter(|_| name != brain_jepa::NAME) {
            let path = gradients.to_owned();
            let problem = format!("is a table of gradients, of which `{name}` reads none");
            return Err(Error::Checkpoint { path, problem });
        }
        let (config, id, what, assumed) = match name {
            "brainlm" => of_brainlm(&path, unsaid)?,
            "brainmt" => of_brainmt(&path, unsaid)?,
            brain_jepa::NAME => of_brain_jepa(&path, unsaid)?,
            cortex_mae::NAME => of_cortex_mae(&path, unsaid)?,
            brain_semantoks::NAME => of_brain_semantoks(&path, unsaid)?,
            swift::NAME => of_swift(&path)?,
            _ => {
                let problem = format!(
                    "no weights of an encoder `{name}` are read, expected one of {}",
                    PUBLISHED.join(", ")
                );
                return Err(Error::Checkpoint { path, problem });
            }
        };
        let weights = config.open_weights(&path)?;
        let licence = config.licence().expect("an encoder with weights has their licence");
        Ok(Self { config, id, what, assumed, licence, weights })
    }
}

impl Licence {
    /// What someone who uses the weights should be told; nothing where there is nothing.
    pub fn warning(&self) -> Option<String> {
        let bound = if self.no_derivatives {
            "; copies, converted or fine-tuned ones too, must not be handed on"
        } else {
            ""
        };
        self.non_commercial.then(|| format!("{}: for research only{bound}", self.name))
    }
}

/// The weights in a folder of Hugging Face, or the file itself.
fn weight_file(path: &Path) -> Result<PathBuf> {
    const NAMES: [&str; 2] = ["model.safetensors", "pytorch_model.bin"];
    if !path.is_dir() {
        return Ok(path.to_owned());
    }
    let found = NAMES.iter().map(|name| path.join(name)).find(|path| path.is_file());
    found.ok_or_else(|| {
        let problem = format!("found no weights in this folder, expected {}", NAMES.join(" or "));
        Error::Checkpoint { path: path.to_owned(), problem }
    })
}

/// Sizes that no network can have are refused with the file that they are of.
fn sound(path: &Path, problem: Option<String>) -> Result<()> {
    problem.map_or(Ok(()), |problem| Err(Error::Checkpoint { path: path.to_owned(), problem }))
}

/// The encoder, its architecture's name, what it is in words, and what was assumed.
type Told = (EncoderConfig, String, String, Option<&'static str>);

const NO_CONFIG: &str = "no config.json was found: frames of a window, mask ratio, heads of the decoder \
                         and its last non-linearity are taken to be as published";

fn of_brainlm(path: &Path, unsaid: Unsaid<'_>) -> Result<Told> {
    let beside = path.with_file_name("config.json");
    let beside = beside.is_file().then_some(beside.as_path());
    let (network, assumed) = match unsaid.config_json.or(beside) {
        Some(config) => (BrainLmNetwork::open(config)?, None),
        None => (BrainLmNetwork::of_weights(path, unsaid.n_heads)?, Some(NO_CONFIG)),
    };
    sound(path, network.problem())?;
    let parts = if network.open_weights(path)?.contains(brainlm::DECODES) {
        "encoder and decoder"
    } else {
        "encoder without a decoder"
    };
    let what = format!("BrainLM, network `{}`, {parts}", network.name());
    let config = BrainLmConfig {
        network,
        weights: WeightsSource::File(path.to_owned()),
        trainable: Trainable::None,
        tokens: TokenPolicy::DataOnly,
        features: brainlm::Features::default(),
    };
    let id = config.id();
    Ok((EncoderConfig::BrainLm(config), id, what, assumed))
}

fn of_brainmt(path: &Path, unsaid: Unsaid<'_>) -> Result<Told> {
    let n_heads = unsaid.n_heads.unwrap_or(BrainMtSize::default().n_heads);
    let assumed = unsaid.n_heads.is_none().then_some("no number of heads was given: taken to be 2");
    let (_, size) = brainmt::read(path, n_heads)?;
    sound(path, size.problem())?;
    let what = format!("BrainMT, {}", size.direction.in_words());
    let config = BrainMtConfig {
        weights: WeightsSource::File(path.to_owned()),
        size: Some(size),
        trainable: Trainable::None,
        tokens: TokenPolicy::TimeMean,
    };
    Ok((EncoderConfig::BrainMt(config), brainmt::ID.to_owned(), what, assumed))
}

fn of_brain_jepa(path: &Path, unsaid: Unsaid<'_>) -> Result<Told> {
    let mut config = BrainJepaConfig {
        weights: WeightsSource::File(path.to_owned()),
        gradients: unsaid.gradients.map(Path::to_owned),
        size: None,
        trainable: Trainable::None,
        tokens: TokenPolicy::default(),
    };
    let mut size = config.size()?.into_owned();
    size.n_heads = unsaid.n_heads.unwrap_or(size.n_heads);
    sound(path, size.problem())?;
    config.size = Some(size);
    let assumed = unsaid.n_heads.is_none().then_some(NO_HEADS);
    let what = "Brain-JEPA".to_owned();
    Ok((EncoderConfig::BrainJepa(config), brain_jepa::ID.to_owned(), what, assumed))
}

const NO_HEADS: &str = "no number of heads was given: taken to be 64 wide each";

fn of_cortex_mae(path: &Path, unsaid: Unsaid<'_>) -> Result<Told> {
    let mut config = CortexMaeConfig {
        weights: WeightsSource::File(path.to_owned()),
        size: None,
        trainable: Trainable::None,
        tokens: TokenPolicy::DataOnly,
    };
    let mut size = config.size()?.into_owned();
    size.n_heads = unsaid.n_heads.unwrap_or(size.n_heads);
    sound(path, size.problem())?;
    let parts = match &size.decoder {
        Some(_) => "encoder and decoder",
        None => "encoder without a decoder",
    };
    let what = format!("CortexMAE of {} parcels, {parts}", size.n_parcels);
    config.size = Some(size);
    // 64 wide in every published size
    Ok((EncoderConfig::CortexMae(config), cortex_mae::ID.to_owned(), what, None))
}

fn of_brain_semantoks(path: &Path, unsaid: Unsaid<'_>) -> Result<Told> {
    let mut config = BrainSemantoksConfig {
        weights: WeightsSource::File(path.to_owned()),
        size: None,
        trainable: Trainable::None,
        tokens: TokenPolicy::All,
    };
    let mut size = config.size()?.into_owned();
    size.n_heads = unsaid.n_heads.unwrap_or(size.n_heads);
    sound(path, size.problem())?;
    let what = format!("Brain-Semantoks of {} ROIs, teacher", size.n_rois());
    config.size = Some(size);
    let assumed = unsaid.n_heads.is_none().then_some(NO_HEADS);
    Ok((EncoderConfig::BrainSemantoks(config), brain_semantoks::ID.to_owned(), what, assumed))
}

fn of_swift(path: &Path) -> Result<Told> {
    let mut config = SwiftConfig {
        weights: WeightsSource::File(path.to_owned()),
        size: None,
        trainable: Trainable::None,
        tokens: TokenPolicy::All,
    };
    let size = config.size()?.into_owned();
    sound(path, size.problem())?;
    let what = format!("SwiFT, {} stages", size.n_stages());
    config.size = Some(size);
    Ok((EncoderConfig::Swift(config), swift::ID.to_owned(), what, None))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::brainmt::{BrainMt, Direction};
    use candle_core::DType;
    use nn::weights::{Variables, save};

    fn brainmt_file(dir: &Path, direction: Direction) -> PathBuf {
        let size =
            BrainMtSize { embed_dim: 8, depth: [1, 1], n_frames: 3, ..BrainMtSize::default() };
        let size = BrainMtSize { n_cells: 2, direction, ..size };
        let drawn = Variables::default();
        BrainMt::new(&size, drawn.builder(1, DType::F32)).unwrap();
        let path = dir.join("weights.safetensors");
        save(&path, &drawn.tensors()).unwrap();
        path
    }

    #[test]
    fn heads_that_do_not_share_the_width_are_refused() {
        let dir = tempfile::tempdir().unwrap();
        let path = brainmt_file(dir.path(), Direction::Forward);
        for n_heads in [0, 3] {
            let unsaid = Unsaid { n_heads: Some(n_heads), ..Unsaid::default() };
            let refused = Published::open("brainmt", &path, unsaid).err().unwrap().to_string();
            assert!(refused.contains("weights.safetensors"), "{refused}");
            assert!(refused.contains(&format!("{n_heads} heads")), "{refused}");
        }
    }

    #[test]
    fn the_direction_of_a_brainmt_is_told_by_its_tensors() {
        let dir = tempfile::tempdir().unwrap();
        for (direction, words) in [
            (Direction::Forward, "BrainMT, scans one way"),
            (Direction::Both, "BrainMT, scans both ways"),
        ] {
            let path = brainmt_file(dir.path(), direction);
            let found = Published::open("brainmt", &path, Unsaid::default()).unwrap();
            assert_eq!((found.what.as_str(), found.id.as_str()), (words, "brainmt_v1"));
            assert!(!found.licence.no_derivatives);
        }
    }

    #[test]
    fn another_encoders_file_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = brainmt_file(dir.path(), Direction::Forward);
        let said = |name: &str, path: &Path| {
            Published::open(name, path, Unsaid::default()).unwrap_err().to_string()
        };
        let error = said("brainlm", &path);
        assert!(error.contains("weights.safetensors: its tensors are of no BrainLM"), "{error}");
        let error = said("clip", &path);
        assert!(
            error.ends_with(
                "expected one of brainlm, brainmt, brain_jepa, cortex_mae, brain_semantoks, swift"
            ),
            "{error}"
        );
        let error = said("brainlm", dir.path());
        assert!(error.contains("expected model.safetensors or pytorch_model.bin"), "{error}");
    }

    /// The words that a choice in YAML may be, by the schema.
    fn words(schema: &schemars::Schema) -> Vec<String> {
        let schema = serde_json::to_value(schema).unwrap();
        let all = schema["oneOf"].as_array().unwrap();
        let word =
            |it: &serde_json::Value| match (it["const"].as_str(), it["properties"].as_object()) {
                (Some(word), _) => word.to_owned(),
                (None, Some(one)) => one.keys().next().unwrap().clone(),
                (None, None) => panic!("{it}"),
            };
        all.iter().map(word).collect()
    }

    #[test]
    fn the_page_on_encoders_has_a_row_for_each_with_its_policies_and_licence() {
        let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/encoders.md");
        let page = std::fs::read_to_string(page).unwrap();
        let (encoders, policies) = page.split_once("## What a policy does").unwrap();
        let of = |part: &str, name: &str| -> Vec<String> {
            let start = format!("| `{name}`");
            part.lines().filter(|line| line.starts_with(&start)).map(str::to_owned).collect()
        };
        let rows = |name: &str| of(encoders, name);
        for name in words(&schemars::schema_for!(EncoderConfig)) {
            assert!(!rows(&name).is_empty(), "no row for {name}");
        }
        for policy in words(&schemars::schema_for!(scan::EncoderPolicy)) {
            assert_eq!(of(policies, &policy).len(), 1, "{policy} has no row of what it does");
            let quoted = format!("`{policy}`");
            let named = PUBLISHED.iter().flat_map(|name| rows(name));
            assert_eq!(named.filter(|row| row.contains(&quoted)).count(), 1, "{policy}");
        }
        for name in PUBLISHED {
            let mut settings = serde_json::json!({ "weights": { "file": "weights.pth" } });
            if name == "brainlm" {
                let network = BrainLmNetwork::Image(brainlm::ImageConfig::vitmae_111m());
                settings["network"] = serde_json::to_value(network).unwrap();
            }
            let config = serde_json::json!({ name: settings });
            let config: EncoderConfig = serde_json::from_value(config).unwrap();
            let licence = config.licence().unwrap();
            let row = &rows(name)[0];
            let said = licence.name.split(':').next().unwrap();
            assert!(row.contains(said), "{name}: {said}");
            let forbids = row.contains("no copies handed on");
            assert_eq!(forbids, licence.no_derivatives, "{name}");
        }
    }
}
