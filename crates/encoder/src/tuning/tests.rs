use candle_core::{Result, Tensor};
use nn::gradcheck::{check, sample};

use super::*;
use crate::brain_jepa::BrainJepaSize;
use crate::brainlm::{Features, ImageConfig, RegionTimeConfig};
use crate::brainmt::Direction;
use crate::cortex_mae::CortexMaeSize;
use crate::{
    BrainJepaConfig, BrainLmConfig, BrainLmNetwork, BrainMtConfig, BrainMtSize, ClipActivation,
    ClipConfig, ConnectivityConfig, CortexMaeConfig, EncoderInput, TokenPolicy, VisionFeature,
    VoxelFramesConfig,
};
use crate::{LoraConfig, TargetModules};

const SEED: WeightsSource = WeightsSource::Seed(3);

fn brainlm(network: BrainLmNetwork, trainable: Trainable, features: Features) -> EncoderConfig {
    let tokens = TokenPolicy::DataOnly;
    EncoderConfig::BrainLm(BrainLmConfig { network, weights: SEED, trainable, tokens, features })
}

/// Two layers, three parcels, patches of two frames.
fn region_time(trainable: Trainable) -> EncoderConfig {
    let network = BrainLmNetwork::RegionTime(RegionTimeConfig {
        hidden_size: 8,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        intermediate_size: 12,
        num_brain_voxels: 3,
        timepoint_patching_size: 2,
        conv_kernel_size: 3,
        ..RegionTimeConfig::published_2023()
    });
    brainlm(network, trainable, Features::AfterNorm)
}

/// Two blocks, a square of three by three patches; taken before the last norm.
fn image(trainable: Trainable) -> EncoderConfig {
    let network = BrainLmNetwork::Image(ImageConfig {
        hidden_size: 8,
        num_hidden_layers: 2,
        num_attention_heads: 2,
        intermediate_size: 12,
        decoder_hidden_size: 8,
        decoder_num_attention_heads: 2,
        image_size: 12,
        patch_size: 4,
        ..ImageConfig::vitmae_111m()
    });
    brainlm(network, trainable, Features::BeforeNorm)
}

/// One layer both ways, two blocks of attention, two cells and three frames.
fn brainmt(trainable: Trainable) -> EncoderConfig {
    let size = BrainMtSize {
        embed_dim: 16,
        depth: [1, 2],
        n_heads: 2,
        n_frames: 3,
        n_cells: 2,
        direction: Direction::Both,
        n_outputs: Some(2),
    };
    let tokens = TokenPolicy::TimeMean;
    EncoderConfig::BrainMt(BrainMtConfig { weights: SEED, size: Some(size), trainable, tokens })
}

/// Two blocks, three parcels by three patches.
fn brain_jepa(trainable: Trainable) -> EncoderConfig {
    let size = BrainJepaSize {
        dim: 8,
        depth: 2,
        n_heads: 2,
        n_parcels: 3,
        n_frames: 6,
        patch: 2,
        n_gradients: 5,
    };
    let (size, tokens) = (Some(size), TokenPolicy::All);
    let config = BrainJepaConfig { weights: SEED, gradients: None, size, trainable, tokens };
    EncoderConfig::BrainJepa(config)
}

/// Two blocks, two patches by four parcels.
fn cortex_mae(trainable: Trainable) -> EncoderConfig {
    let size = CortexMaeSize {
        dim: 6,
        depth: 2,
        n_heads: 3,
        n_parcels: 4,
        n_frames: 6,
        patch: 3,
        ..CortexMaeSize::default()
    };
    let (size, tokens) = (Some(size), TokenPolicy::All);
    EncoderConfig::CortexMae(CortexMaeConfig { weights: SEED, size, trainable, tokens })
}

/// Two blocks, four patches.
fn clip(trainable: Trainable) -> EncoderConfig {
    EncoderConfig::Clip(ClipConfig {
        image_size: 4,
        patch_size: 2,
        width: 6,
        layers: 2,
        head_width: 3,
        mlp_ratio: 2.,
        embed_dim: 3,
        activation: ClipActivation::QuickGelu,
        vision_feature: VisionFeature::PreLnPost,
        weights: Some(SEED),
        trainable,
    })
}

type Made = fn(Trainable) -> EncoderConfig;

const NETWORKS: [(Made, InputShape); 6] = [
    (region_time, InputShape::Window { n_frames: 4, n_voxels: 3 }),
    (image, InputShape::Window { n_frames: 8, n_voxels: 12 }),
    (brainmt, InputShape::Volume { n_frames: 3, grid: [12, 17, 9] }),
    (brain_jepa, InputShape::Window { n_frames: 6, n_voxels: 3 }),
    (cortex_mae, InputShape::Window { n_frames: 6, n_voxels: 4 }),
    (clip, InputShape::Image { size: 4 }),
];

fn lora(rank: usize, targets: Option<&[&str]>) -> Trainable {
    let ends = |it: &[&str]| it.iter().map(|&name| name.to_owned()).collect();
    let target_modules = targets.map(|it| TargetModules::Ends(ends(it)));
    Trainable::Lora(LoraConfig { rank, alpha: 3., use_rslora: false, target_modules })
}

/// Names of all tensors that the encoder asks for.
fn all_names(made: Made, input: InputShape) -> Vec<String> {
    let outline = Outline::default();
    made(Trainable::None).build(input, outline.builder()).unwrap();
    outline.shapes().into_keys().collect()
}

/// An encoder in `f64` with what moves of it, and a loss that weighs every number of its tokens.
struct Trained {
    variables: Variables,
    encoder: crate::MediaEncoder,
    input: EncoderInput,
}

impl Trained {
    fn new(config: &EncoderConfig, input: InputShape) -> Result<Self> {
        let variables = Variables::default();
        let base = config.base(Precision::default()).unwrap();
        let weights = match config.trainable() {
            Trainable::Lora(_) => config.tuned(base, variables.drawn(1)).unwrap(),
            _ => config.tuned(base.clone(), variables.started_at(base)).unwrap(),
        };
        let encoder = config.build(input, Builder::new(weights, DType::F64))?;
        let shape = [&[1, 1, 1], input.dims().as_slice()].concat();
        let values = sample("windows", shape)?.as_detached_tensor();
        let places: Vec<[f64; 3]> =
            (0..12).map(|at| [f64::from(at), f64::from(at * at % 7), 2.5]).collect();
        let n_parcels = input.dims()[1].min(places.len());
        let input = EncoderInput::new(values).with_coordinates(&places[..n_parcels])?;
        Ok(Self { variables, encoder, input })
    }

    fn tokens(&self) -> Result<Tensor> {
        Ok(self.encoder.encode(&self.input)?.values)
    }

    fn loss(&self) -> Result<Tensor> {
        let tokens = self.tokens()?;
        // a sum of squares of normed tokens would hardly depend on anything
        (&tokens * sample("weighs", tokens.shape())?.as_tensor())?.sum_all()? * 10.
    }

    fn names(&self) -> Vec<String> {
        self.variables.all().into_iter().map(|(name, _)| name).collect()
    }

    fn check_gradients(&self) -> Result<()> {
        let named = self.variables.all();
        let vars: Vec<_> = named.iter().map(|(name, var)| (name.as_str(), var)).collect();
        check(&vars, || self.loss())
    }
}

#[test]
fn each_mode_moves_what_it_names_and_its_gradients_match_finite_differences() -> Result<()> {
    let is_last = |at: usize, name: &str| {
        let parts = [
            &["vit.encoder.layer.1.", "vit.layernorm."][..],
            &["vit.encoder.layer.1."],
            &["blocks.1.", "norm.", "mlp."],
            &["blocks.1.", "norm."],
            &["blocks.1.", "norm."],
            &["transformer.resblocks.1."],
        ];
        parts[at].iter().any(|part| name.starts_with(part))
    };
    let never = [
        "vit.embeddings.position_embeddings",
        "vit.layernorm",
        "head.",
        "gradients",
        "ln_post.",
        "proj",
    ];
    let is_learned =
        |at: usize, name: &str| at == 0 || !never.iter().any(|it| name.starts_with(it));
    for (at, (made, input)) in NETWORKS.into_iter().enumerate() {
        let names = all_names(made, input);
        let frozen = Trained::new(&made(Trainable::None), input)?;
        assert!(frozen.names().is_empty());
        let frozen = frozen.tokens()?;
        let last: Vec<_> = names.iter().filter(|name| is_last(at, name)).cloned().collect();
        let learned: Vec<_> = names.iter().filter(|name| is_learned(at, name)).cloned().collect();
        assert!(last.len() > 4 && learned.len() > last.len() && learned.len() >= names.len() - 3);
        for (mode, expected) in [(Trainable::LastNBlocks(1), last), (Trainable::All, learned)] {
            let trained = Trained::new(&made(mode.clone()), input)?;
            assert_eq!(trained.names(), expected, "{mode:?} of network {at}");
            let gap = (trained.tokens()? - &frozen)?.abs()?.max_all()?.to_scalar::<f64>()?;
            assert!(gap < 1e-12, "{mode:?} begins {gap} away from the weights it was given");
            trained.check_gradients()?;
        }
    }
    Ok(())
}

#[test]
fn corrections_begin_at_zero_and_their_gradients_match_finite_differences() -> Result<()> {
    // by hand: two embeddings and six layers a block; six a block; six of the mixer, two a block
    // of attention, two of the MLP; the places and four a block; an embedding and six a block; six a block
    let n_layers = [2 + 2 * 6, 2 * 6, 6 + 2 * 2 + 2, 1 + 2 * 4, 1 + 2 * 6, 2 * 6];
    for ((made, input), n_layers) in NETWORKS.into_iter().zip(n_layers) {
        let trained = Trained::new(&made(lora(2, None)), input)?;
        let names = trained.names();
        assert_eq!(names.len(), 2 * n_layers);
        let base = all_names(made, input);
        for name in &names {
            let layer = name.strip_suffix(".lora_A.weight");
            let layer = layer.or_else(|| name.strip_suffix(".lora_B.weight")).unwrap();
            // queries, keys and values of a CLIP lie in one matrix
            let packed = layer.rsplit_once(".attn.").filter(|(_, it)| *it != "out_proj");
            let weight =
                match packed.filter(|_| base.iter().any(|it| it.ends_with("in_proj_weight"))) {
                    Some((block, _)) => format!("{block}.attn.in_proj_weight"),
                    None => format!("{layer}.weight"),
                };
            assert!(base.contains(&weight) && layer != "head", "{name}");
        }
        let frozen = Trained::new(&made(Trainable::None), input)?.tokens()?;
        let gap = (trained.tokens()? - &frozen)?.abs()?.max_all()?.to_scalar::<f64>()?;
        assert_eq!(gap, 0.);
        // away from zero, where the gradients of both factors say something
        for (name, var) in trained.variables.all() {
            var.set(&(sample(&name, var.shape())?.as_tensor() * 0.3)?)?;
        }
        let moved = (trained.tokens()? - frozen)?.abs()?.max_all()?.to_scalar::<f64>()?;
        assert!(moved > 1e-3, "{moved}");
        trained.check_gradients()?;
    }
    Ok(())
}

#[test]
fn blocks_are_counted_from_the_last_of_attention_back_into_the_scan() {
    let moved = |n| {
        let (_, input) = NETWORKS[2];
        Trained::new(&brainmt(Trainable::LastNBlocks(n)), input).unwrap().names()
    };
    let has = |names: &[String], part: &str| names.iter().any(|name| name.starts_with(part));
    let two = moved(2);
    assert!(has(&two, "blocks.0.") && !has(&two, "norm_f.") && !has(&two, "layers."));
    let three = moved(3);
    assert!(has(&three, "norm_f.") && has(&three, "layers.0.mixer.A_b_log"));
    assert!(!has(&three, "patch_embed") && !has(&three, "pos_embed"));
}

#[test]
fn targets_are_ends_of_names() {
    let (_, input) = NETWORKS[0];
    let trained = Trained::new(&region_time(lora(2, Some(&["query", "1.output.dense"]))), input);
    let names = trained.unwrap().names();
    let a = |layer: &str| format!("vit.encoder.layer.{layer}.lora_A.weight");
    let found: Vec<_> = names.into_iter().filter(|name| name.ends_with("A.weight")).collect();
    let queries = [a("0.attention.self.query"), a("1.attention.self.query")];
    assert_eq!(found, [&queries[..], &[a("1.output.dense")]].concat());
}

#[test]
fn targets_of_a_clip_are_named_as_hugging_face_names_them() {
    let (_, input) = NETWORKS[5];
    let targets = ["q_proj", "vision_model.encoder.layers.1.mlp.fc2"];
    let names = Trained::new(&clip(lora(2, Some(&targets))), input).unwrap().names();
    let a = |layer: &str| format!("transformer.resblocks.{layer}.lora_A.weight");
    let found: Vec<_> = names.into_iter().filter(|name| name.ends_with("A.weight")).collect();
    assert_eq!(found, [a("0.attn.q_proj"), a("1.attn.q_proj"), a("1.mlp.c_proj")]);
    let unknown = clip(lora(2, Some(&["query"]))).parameters(input).unwrap_err().to_string();
    assert!(unknown.contains("names `query`") && unknown.contains("fc1, fc2, k_proj"), "{unknown}");
}

#[test]
fn corrections_may_be_said_beside_the_encoder() {
    let Trainable::Lora(said) = lora(2, None) else { unreachable!("just said") };
    let mut encoder = clip(Trainable::None);
    encoder.set_lora(said.clone()).unwrap();
    assert_eq!(encoder, clip(Trainable::Lora(said.clone())));
    encoder.set_lora(said.clone()).unwrap();
    let other = LoraConfig { rank: 3, ..said.clone() };
    assert!(encoder.set_lora(other).unwrap_err().to_string().contains("expected one"));
    let mut own = EncoderConfig::VoxelFrames(VoxelFramesConfig { dim: 5, n_groups: 2 });
    assert!(own.set_lora(said).unwrap_err().to_string().contains("no frozen weights"));
}

#[test]
fn parameters_are_counted_without_reading_any() {
    let count = |trainable: Trainable| {
        let (_, input) = NETWORKS[0];
        let found = region_time(trainable).parameters(input).unwrap();
        (found.trainable, found.frozen)
    };
    let (none, all) = count(Trainable::None);
    assert_eq!((none, count(Trainable::All)), (0, (all, 0)));
    // by hand: query, key, value, out; widen, narrow; two norms; two heads of three taps; last norm
    let last = 4 * (8 * 8 + 8) + (12 * 8 + 12) + (8 * 12 + 8) + 2 * 16 + 6 + 16;
    assert_eq!(count(Trainable::LastNBlocks(1)), (last, all - last));
    // two factors of rank 2 beside every layer
    let corrections = 2 * (2 + 8) + 2 * (3 + 8) + 2 * (4 * 2 * 16 + 2 * 2 * 20);
    assert_eq!(count(lora(2, None)), (corrections, all));
    let frames = VoxelFramesConfig { dim: 5, n_groups: 2 };
    let (_, input) = NETWORKS[0];
    let own = EncoderConfig::VoxelFrames(frames).parameters(input).unwrap();
    assert_eq!((own.trainable, own.frozen), (3 * 5 + 5 + 2 * 5, 0));
}

#[test]
fn what_cannot_be_trained_is_refused_in_one_sentence() {
    let said = |config: EncoderConfig| {
        let (_, input) = NETWORKS[0];
        config.parameters(input).unwrap_err().to_string()
    };
    let start = "encoder `brainlm`: trainable: ";
    assert_eq!(
        said(region_time(Trainable::LastNBlocks(3))),
        format!("{start}last_n_blocks is 3, expected 1 to 2, its blocks")
    );
    assert!(said(region_time(Trainable::LastNBlocks(0))).contains("last_n_blocks is 0"));
    assert_eq!(
        said(region_time(lora(0, None))),
        format!("{start}lora.rank is 0, expected at least 1")
    );
    let alpha = Trainable::Lora(LoraConfig {
        rank: 1,
        alpha: f64::NAN,
        use_rslora: false,
        target_modules: None,
    });
    assert!(said(region_time(alpha)).contains("lora.alpha is NaN"));
    assert!(said(region_time(lora(1, Some(&[])))).contains("nothing would move"));
    assert_eq!(
        said(region_time(lora(1, Some(&["query", "q_proj"])))),
        format!(
            "{start}lora.target_modules names `q_proj`, which is none of its linear layers: their \
             names end in dense, key, query, signal_embedding_projection, value, \
             xyz_embedding_projection"
        )
    );
    let none = EncoderConfig::Connectivity(ConnectivityConfig::default());
    let (_, input) = NETWORKS[0];
    assert_eq!(none.parameters(input).unwrap().trainable, 0);
}
