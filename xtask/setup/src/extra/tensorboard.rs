//! The event file of a training, as `TensorBoard` reads it.

use std::process::Command;

use super::{
    Check,
    environment::{Environment, output},
    need::Need,
};

const REQUIREMENTS: &str = "xtask/setup/tensorboard.txt";

pub(super) const CHECK: Check = Check {
    name: "tensorboard",
    needs: &[Need::Command("python3"), Need::Python(REQUIREMENTS)],
    run,
};

/// Compares the curve of losses with the lines of `metrics.jsonl`.
const SCRIPT: &str = "
import json, sys
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
folder = sys.argv[1]
events = EventAccumulator(folder)
events.Reload()
found = [(it.step, it.value) for it in events.Scalars('loss')]
lines = [json.loads(line) for line in open(folder + '/metrics.jsonl')]
expected = [(it['step'], it['loss']) for it in lines if 'loss' in it]
assert [step for step, _ in found] == [step for step, _ in expected] == [1, 2, 3, 4, 5, 6], found
assert all(abs(a - b) < 1e-6 * b for (_, a), (_, b) in zip(found, expected)), (found, expected)
";

fn run(environment: &Environment) -> Result<(), String> {
    let outputs = environment.folder("tensorboard");
    let mut train = Command::new(environment.neuroflamingo()?);
    train.current_dir(environment.root()).args(["run", "pipelines/pretrain-tiny-lm.yaml"]);
    train.args(["--set", "stages.pretrain.steps=6", "--set"]);
    train.arg(format!("outputs={}", outputs.display()));
    output(&mut train)?;
    let mut python = Command::new(environment.python_program(REQUIREMENTS, "python"));
    output(python.args(["-c", SCRIPT]).arg(outputs.join("tiny-lm/training")))
}
