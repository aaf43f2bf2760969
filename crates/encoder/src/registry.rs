//! Which encoder to build: the one place that knows them all.

use std::cell::RefCell;
use std::path::{Path, PathBuf};

use nn::{Builder, weights::Frozen};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::pretrained::Pretrained;
use crate::settings::EncoderSettings;
use crate::sizes;
use crate::trainable::Blocks;
use crate::{
    AddedEncoder, BrainEncoder, BrainJepaConfig, BrainJepaEncoder, BrainLm, BrainLmConfig,
    BrainMtConfig, BrainMtEncoder, BrainSemantoksConfig, BrainSemantoksEncoder, ClipConfig,
    ClipVision, Connectivity, ConnectivityConfig, CortexMaeConfig, CortexMaeEncoder,
    EncoderRegistry, EncoderSpec, Error, InputShape, Licence, LoraConfig, MediaEncoder, Omics,
    OmicsConfig, Result, Stored, StoredConfig, SwiftConfig, SwiftEncoder, Trainable, VoxelFrames,
    VoxelFramesConfig, WeightsSource,
};

/// The encoders, each by its name in a pipeline file and its settings, and what tells them apart.
macro_rules! encoders {
    ($($(#[$meta:meta])* $encoder:ident($config:ty),)*) => {
        /// An encoder and its settings, as a pipeline file states them.
        #[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
        #[serde(rename_all = "snake_case")]
        pub enum EncoderConfig {
            $($(#[$meta])* $encoder($config),)*
        }

        impl EncoderConfig {
            /// What is asked of any encoder.
            fn settings(&self) -> &dyn EncoderSettings {
                match self {
                    $(Self::$encoder(config) => config,)*
                }
            }
        }
    };
}

encoders! {
    /// A small trainable encoder of masked voxels: one token per group of frames.
    VoxelFrames(VoxelFramesConfig),
    /// The vision transformer of CLIP.
    Clip(ClipConfig),
    /// Functional connectivity: one token a parcel, its row of the matrix.
    Connectivity(ConnectivityConfig),
    /// BrainLM, of regions × time or of pictures.
    #[serde(rename = "brainlm")]
    BrainLm(BrainLmConfig),
    /// BrainMT, of whole volumes.
    #[serde(rename = "brainmt")]
    BrainMt(BrainMtConfig),
    /// Brain-JEPA, of 450 parcels.
    BrainJepa(BrainJepaConfig),
    /// CortexMAE of parcels.
    CortexMae(CortexMaeConfig),
    /// Brain-Semantoks, of 457 parcels in 9 networks.
    BrainSemantoks(BrainSemantoksConfig),
    /// SwiFT, of whole volumes.
    Swift(SwiftConfig),
    /// Numbers of a person, such as polygenic scores: a linear map of all columns to each token.
    Omics(OmicsConfig),
    /// Tokens computed elsewhere.
    Stored(StoredConfig),
    /// An encoder that the program brings along; its settings name no files.
    Added(AddedEncoder),
}

/// What the encoders of this crate answer: name, settings, and how each is built.
macro_rules! built_in {
    ($($name:literal $config:ty => |$settings:ident, $input:ident, $vb:ident| $build:expr;)*) => {$(
        impl EncoderSettings for $config {
            fn name(&self) -> &'static str {
                $name
            }

            fn spec(&self, input: InputShape) -> Result<EncoderSpec> {
                <$config>::spec(self, input)
            }

            fn build(&self, $input: InputShape, $vb: Builder) -> candle_core::Result<MediaEncoder> {
                let $settings = self;
                Ok($build)
            }
        }
    )*};
}

built_in! {
    "voxel_frames" VoxelFramesConfig => |it, input, vb| brain(VoxelFrames::new(it, input, vb)?);
    "clip" ClipConfig => |it, _input, vb| MediaEncoder::Clip(Box::new(ClipVision::new(it, vb)?));
    "connectivity" ConnectivityConfig => |it, input, _vb| {
        brain(Connectivity::new(it, input).map_err(candle_core::Error::wrap)?)
    };
    "brainlm" BrainLmConfig => |it, input, vb| brain(BrainLm::new(it, input, vb)?);
    "brainmt" BrainMtConfig => |it, input, vb| brain(BrainMtEncoder::new(it, input, vb)?);
    "brain_jepa" BrainJepaConfig => |it, input, vb| brain(BrainJepaEncoder::new(it, input, vb)?);
    "cortex_mae" CortexMaeConfig => |it, input, vb| brain(CortexMaeEncoder::new(it, input, vb)?);
    "brain_semantoks" BrainSemantoksConfig => |it, input, vb| {
        brain(BrainSemantoksEncoder::new(it, input, vb)?)
    };
    "swift" SwiftConfig => |it, input, vb| brain(SwiftEncoder::new(it, input, vb)?);
    "omics" OmicsConfig => |it, input, vb| brain(Omics::new(it, input, vb)?);
    "stored" StoredConfig => |it, input, _vb| {
        brain(Stored::new(it, input).map_err(candle_core::Error::wrap)?)
    };
}

fn brain(encoder: impl BrainEncoder + 'static) -> MediaEncoder {
    MediaEncoder::Brain(Box::new(encoder))
}

impl From<OmicsConfig> for EncoderConfig {
    fn from(config: OmicsConfig) -> Self {
        Self::Omics(config)
    }
}

impl EncoderConfig {
    /// What the encoder needs and gives for windows of this size.
    ///
    /// # Errors
    /// One sentence when the windows do not fit, or a setting is a size of no network.
    pub fn spec(&self, input: InputShape) -> Result<EncoderSpec> {
        sizes::check(self.name(), self)?;
        self.settings().spec(input)
    }

    /// Builds the encoder from the weights under `vb`.
    ///
    /// # Errors
    /// As [`Self::spec`], or candle's error when a weight is missing.
    pub fn build(&self, input: InputShape, vb: Builder) -> candle_core::Result<MediaEncoder> {
        self.spec(input).map_err(candle_core::Error::wrap)?;
        self.settings().build(input, vb)
    }

    /// Looks among those that the program brings along, where it is none of this crate.
    pub fn find(&mut self, registry: &EncoderRegistry) {
        if let Self::Added(added) = self {
            added.find(registry);
        }
    }

    /// Its settings, where it has weights that others publish.
    fn pretrained(&self) -> Option<&dyn Pretrained> {
        match self {
            Self::BrainLm(config) => Some(config),
            Self::BrainMt(config) => Some(config),
            Self::BrainJepa(config) => Some(config),
            Self::CortexMae(config) => Some(config),
            Self::BrainSemantoks(config) => Some(config),
            Self::Swift(config) => Some(config),
            Self::Clip(config) if config.weights.is_some() => Some(config),
            _ => None,
        }
    }

    /// The same, to be changed.
    fn pretrained_mut(&mut self) -> Option<&mut dyn Pretrained> {
        match self {
            Self::BrainLm(config) => Some(config),
            Self::BrainMt(config) => Some(config),
            Self::BrainJepa(config) => Some(config),
            Self::CortexMae(config) => Some(config),
            Self::BrainSemantoks(config) => Some(config),
            Self::Swift(config) => Some(config),
            Self::Clip(config) if config.weights.is_some() => Some(config),
            _ => None,
        }
    }

    /// Which of its weights a training moves; frozen encoders are run once, before it.
    pub fn trainable(&self) -> &Trainable {
        match self {
            Self::VoxelFrames(_) | Self::Omics(_) => &Trainable::All,
            Self::Added(added) if added.learns() => &Trainable::All,
            _ => self.pretrained().map_or(&Trainable::None, Pretrained::trainable),
        }
    }

    /// Corrections of low rank beside its weights, as if its `trainable` said so.
    ///
    /// # Errors
    /// Where it has no weights of its own, or says already what is trained.
    pub fn set_lora(&mut self, lora: LoraConfig) -> Result<()> {
        let encoder = self.name();
        let refuse = |reason: &str| Err(Error::Setting { encoder, reason: reason.to_owned() });
        let said = Trainable::Lora(lora);
        match self.pretrained_mut().map(Pretrained::trainable_mut) {
            None => refuse("it has no frozen weights that `lora` could stand beside"),
            Some(trainable) if trainable.is_none() || *trainable == said => {
                *trainable = said;
                Ok(())
            }
            Some(_) => {
                refuse("`trainable` and `lora` both say what is trained of it, expected one")
            }
        }
    }

    /// Its blocks, for encoders of which some weights may move and others stay.
    pub(crate) fn blocks(&self) -> Result<Option<Blocks>> {
        self.pretrained().map(Pretrained::blocks).transpose()
    }

    /// Where its weights come from; none for encoders without weights, and for those that begin
    /// from the seed of the run.
    pub fn weights(&self) -> Option<&WeightsSource> {
        self.pretrained().map(Pretrained::weights)
    }

    /// Its name in a pipeline file.
    pub fn name(&self) -> &'static str {
        self.settings().name()
    }

    /// Licence of its weights.
    pub fn licence(&self) -> Option<Licence> {
        self.pretrained().map(Pretrained::licence)
    }

    /// The same encoder with numbers from elsewhere; one without weights stays as it is.
    pub fn set_weights(&mut self, weights: WeightsSource) {
        if let Some(config) = self.pretrained_mut() {
            *config.weights_mut() = weights;
        }
    }

    /// The table that its weight file needs beside it.
    pub fn gradients(&self) -> Option<&Path> {
        match self {
            Self::BrainJepa(config) => config.gradients.as_deref(),
            _ => None,
        }
    }

    /// The same encoder with that table, or without; one that reads none stays as it is.
    pub fn set_gradients(&mut self, gradients: Option<PathBuf>) {
        if let Self::BrainJepa(config) = self {
            config.gradients = gradients;
        }
    }

    /// Changes where files lie that it names.
    pub fn relocate(&mut self, place: &dyn Fn(&Path) -> PathBuf) {
        if let Some(config) = self.pretrained_mut() {
            config.weights_mut().relocate(place);
        }
        match self {
            Self::Stored(config) => config.relocate(place),
            Self::BrainJepa(BrainJepaConfig { gradients: Some(path), .. }) => *path = place(path),
            _ => {}
        }
    }

    /// The tensors of its weight file, described and not read; each is one of its network's.
    ///
    /// # Errors
    /// Names the file, and what does not fit; or the encoder that has no weight file.
    pub fn published_weights(&self) -> Result<Frozen> {
        let encoder = self.name();
        if let Some(path) = self.weights().map(|it| it.file(encoder)).transpose()?.flatten() {
            return self.open_weights(path);
        }
        let reason = "no weight file is named".to_owned();
        Err(Error::Setting { encoder, reason })
    }

    /// The files that it names.
    pub fn paths(&self) -> Vec<PathBuf> {
        let found = RefCell::new(Vec::new());
        self.clone().relocate(&|path| {
            found.borrow_mut().push(path.to_owned());
            path.to_owned()
        });
        found.into_inner()
    }

    /// Opens a published weight file under the names that [`Self::build`] asks for.
    pub(crate) fn open_weights(&self, path: &Path) -> Result<Frozen> {
        match self.pretrained() {
            Some(config) => config.open_weights(path),
            None => Ok(Frozen::open(path)?),
        }
    }

    /// What the file of its authors calls a tensor of this name, so that others find it there.
    pub fn published_name(&self, name: &str) -> String {
        self.pretrained().map_or_else(|| name.to_owned(), |config| config.published_name(name))
    }

    /// Names the encoder by everything that decides its tokens, wherever its files lie.
    pub fn identity(&self) -> Result<String> {
        let said = serde_json::to_string(&self.named()?).expect("settings are plain values");
        Ok(files::sha256_bytes(said.as_bytes()))
    }

    /// Names its network and the weights that it begins with, whichever of them a training moves.
    ///
    /// # Errors
    /// Where a file that it names cannot be read.
    pub fn network(&self) -> Result<String> {
        let mut said = serde_json::to_value(self.named()?).expect("settings are plain values");
        let settings = said[0].as_object_mut().into_iter().flat_map(|it| it.values_mut());
        settings.filter_map(serde_json::Value::as_object_mut).for_each(|it| {
            it.remove("trainable");
        });
        Ok(files::sha256_bytes(said.to_string().as_bytes()))
    }

    /// Its settings without the places of its files, and what names its weights.
    fn named(&self) -> Result<(Self, String)> {
        let mut named = self.clone();
        named.relocate(&|_| PathBuf::new());
        let mut weights = match self.weights() {
            None => String::new(),
            Some(WeightsSource::Seed(seed)) => format!("seed {seed}"),
            Some(source) => {
                source.file(self.name())?.map_or(Ok(String::new()), scan::sha256_file)?
            }
        };
        // what lies beside the weights decides the tokens too
        if let Some(path) = self.gradients() {
            weights = format!("{weights} {}", scan::sha256_file(path)?);
        }
        // the code is none of ours
        if let Self::Added(added) = self {
            weights = format!("version {}", added.version());
        }
        Ok((named, weights))
    }
}
