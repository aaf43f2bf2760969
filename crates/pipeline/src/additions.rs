//! What a program brings along beside what these crates have.
use encoder::EncoderRegistry;
use preprocess::StepRegistry;

/// Steps and encoders that a program brings along: pipeline files and packages name them.
#[derive(Clone, Debug, Default)]
pub struct Additions {
    /// Named as `step: { name: …, with: … }` among the stages.
    pub steps: StepRegistry,
    /// Named as `added: { name: …, with: … }` under `model.encoder`.
    pub encoders: EncoderRegistry,
}
