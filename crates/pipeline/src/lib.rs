//! From a YAML file to a run directory.
//!
//! ```text
//! file ── Loaded::read ─→ Spec ── Plan::new ─→ Plan ── run ─→ run directory
//!          (strict)               (checked)            (cached, resumable)
//! ```
//!
//! [`Spec`] is what the file says. [`Plan`] has everything resolved and checked before a scan is
//! opened. [`run()`] computes each stage once, keeps the result by key, and tells an [`Observer`]. A run
//! is five results, each an argument of the next: media, a trained model, reports, their evaluation,
//! pages (`phases`).

mod additions;
mod answers;
mod aside;
mod asked;
mod bids_app;
mod browse;
mod caption;
mod captions;
mod check_encoder;
mod error;
mod event;
mod framed;
mod journal;
mod media;
mod methods;
mod model_id;
mod named;
mod one;
mod one_scan;
mod operations;
mod package;
mod per_fold;
mod phases;
mod plan;
mod prompts;
mod publish;
mod reasons;
mod record;
mod run;
mod runner;
mod score;
mod shard;
mod shown;
mod slot_guide;
mod spec;
mod stage;
mod stats;
mod status;
mod stored;
mod submit;
mod summary;
mod thresholds;
mod training_log;
mod unit_record;
mod units;
mod watch;

pub use additions::Additions;
pub use bids_app::{BidsApp, BidsCall, BidsLevel, ParticipantsOutcome};
pub use browse::browsable;
pub use caption::{Caption, caption};
pub use check_encoder::{
    CheckedEncoder, CheckedScan, EncoderCheck, SeriesFiles, check_encoder, check_encoder_on_series,
};
pub use error::{Error, Result};
pub use event::{Control, Event};
pub use kernels::instructions;
pub use one::generate;
pub use one_scan::{OneScan, Place};
pub use phases::{
    AskConfig, AttributeConfig, CaptionConfig, ChoosingConfig, ComposeConfig, Demonstrations,
    EvaluateConfig, FeatureTable, Features, FewShotConfig, Question, RandomDemonstrations,
    RenderConfig,
};
pub use plan::{
    AskPlan, BenchmarkPicture, BenchmarkPlan, CohortPlan, Disk, EncoderPlan, Item, LmPlan,
    OmicsPlan, PicturePlan, PicturesPlan, Plan, RecordingsPlan, RowPlan, RunPlan, ScanPlan,
    SourcePlan, Task, TrainingPlan, Truth,
};
pub use prompts::{Prompt, read_lines};
pub use record::{Repeated, write_left_out};
pub use run::{Outcome, limit_threads, run};
pub use score::{Asked, Continuation, Scores, score};
pub use shard::{Shard, ShardOutcome, WorkList, run_shard};
pub use spec::{
    AnsweredQuestions, AskedQuestions, BenchmarkSpec, CaptionsLayout, CohortSpec, CorpusSpec,
    FoldersLayout, FoldsSpec, LmSpec, Loaded, MediumSpec, MemesLayout, ModelSpec, OmicsSpec,
    PairsSpec, PicturesSpec, QuestionsLayout, RepeatSpec, Spec, Strategy, StratifiedFoldsSpec,
    schema,
};
pub use stage::{
    Artifact, CombatSettings, EmbedConfig, EncodeConfig, ExportConfig, ExportFormat,
    ExportedConnectivity, ExportedWindows, HarmoniseConfig, ProbeConfig, ProbeRows, QualityConfig,
    SelectConfig, Stage, TokenPrecision, WindowPooling,
};
pub use stats::{FoundStats, StatsSummary, find_stats};
pub use status::{RunState, RunStatus, StageStatus, TaskCounts, VisitStatus, status};
pub use stored::{Pruned, StoredStage, prune, stored};
pub use submit::{Resources, Site, Submission, SubmitOptions, site_schema, submit_slurm};

pub use cohort::{Count, Excluded, Proposal, propose as propose_cohort};
pub use config::{Component, Override, YamlError};
// what the command line shows of the crates below, so that it needs this one only
pub use encoder::{ClipActivation, EncoderRegistry, TargetModules, VisionFeature};
pub use engine::{Event as EngineEvent, Execution, Observer, Silent};
pub use flamingo::{
    DeviceName, EncoderImport, EncoderInfo, GenerateConfig, Import, Imported, ImportedEncoder,
    LoraPart, MergedLora, Opening, PackageInfo, Part, Precision, RankBy, TensorInfo, bench,
    export_lora, import as import_model, import_encoder, inspect as inspect_model, inspect_encoder,
    is_encoder, merge_lora, verify as verify_model,
};
pub use preprocess::StepRegistry;
pub use preprocess::steps::{
    AtlasFiles, DenoiseConfig, MirrorCheck, NormaliseConfig, Nuisance, OrderParcelsConfig,
    ParcellateConfig, PrepareConfig, ResampleTimeConfig, TensorVolumes, VolumesConfig,
};
pub use report::{
    counted,
    generated::{DISCLAIMER, GeneratedReport},
    prompt::Labels,
};
pub use scan::{Description, Normalisation, describe as inspect_scan};
pub use train::Progress;
