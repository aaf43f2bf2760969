//! Where a pass runs, and by which operations.

use std::cell::Cell;
use std::fmt;
use std::str::FromStr;

use candle_core::{DeviceLocation, Result, Tensor};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// By which operations layers work.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Ops {
    /// Our kernels, which read tensors in main memory.
    #[default]
    Kernels,
    /// candle's own operations, on any device.
    Composed,
}

impl Ops {
    /// Both, for tests that compare them.
    pub const ALL: [Self; 2] = [Self::Kernels, Self::Composed];

    /// Whether our kernels read this tensor.
    pub(crate) fn are_kernels(self, xs: &Tensor) -> bool {
        self == Self::Kernels && xs.device().is_cpu()
    }
}

/// A device and the operations that run on it, handed to layers by [`Builder`](crate::Builder). Cheap
/// to clone.
#[derive(Clone, Debug)]
pub struct Device {
    place: candle_core::Device,
    ops: Ops,
}

impl Default for Device {
    fn default() -> Self {
        Self::cpu()
    }
}

impl Device {
    /// The CPU, by our kernels.
    pub fn cpu() -> Self {
        Self { place: candle_core::Device::Cpu, ops: Ops::Kernels }
    }

    /// The CPU, by exactly the operations that run on a GPU.
    pub fn cpu_composed() -> Self {
        Self { place: candle_core::Device::Cpu, ops: Ops::Composed }
    }

    /// Both kinds of the CPU, for tests that compare them.
    pub fn both() -> [Self; 2] {
        [Self::cpu(), Self::cpu_composed()]
    }

    /// candle's device, on which tensors lie.
    pub fn place(&self) -> &candle_core::Device {
        &self.place
    }

    /// The operations of its layers.
    pub fn ops(&self) -> Ops {
        self.ops
    }

    /// What makes its results: devices of the same name round alike.
    pub fn rounding(&self) -> &'static str {
        rounding(self.ops, self.place.location())
    }
}

fn rounding(ops: Ops, location: DeviceLocation) -> &'static str {
    match (ops, location) {
        (Ops::Kernels, _) => "kernels",
        (Ops::Composed, DeviceLocation::Cpu) => "composed",
        (Ops::Composed, DeviceLocation::Cuda { .. }) => "composed on cuda",
        (Ops::Composed, DeviceLocation::Metal { .. }) => "composed on metal",
    }
}

/// The name of a device, as users write it: `cpu`, `cpu-composed`, `cuda` or `cuda:1`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum DeviceName {
    /// The CPU, by our kernels.
    #[default]
    Cpu,
    /// The CPU, by the operations that run on a GPU.
    CpuComposed,
    /// An NVIDIA GPU by its number.
    Cuda(usize),
}

impl DeviceName {
    /// Whether a setting need not be written.
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// Which operations work there.
    pub fn ops(self) -> Ops {
        match self {
            Self::Cpu => Ops::Kernels,
            Self::CpuComposed | Self::Cuda(_) => Ops::Composed,
        }
    }

    /// The device.
    ///
    /// # Errors
    /// Where it is a GPU, and this build has no CUDA or the machine no such card.
    pub fn open(self) -> Result<Device> {
        let place = match self {
            Self::Cpu | Self::CpuComposed => candle_core::Device::Cpu,
            Self::Cuda(number) => candle_core::Device::new_cuda(number)
                .map_err(|error| error.context(format!("{self} cannot be used")))?,
        };
        Ok(Device { place, ops: self.ops() })
    }
}

impl fmt::Display for DeviceName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Cpu => f.write_str("cpu"),
            Self::CpuComposed => f.write_str("cpu-composed"),
            Self::Cuda(0) => f.write_str("cuda"),
            Self::Cuda(number) => write!(f, "cuda:{number}"),
        }
    }
}

impl FromStr for DeviceName {
    type Err = String;

    fn from_str(text: &str) -> std::result::Result<Self, String> {
        let number = |text: &str| text.parse().ok().filter(|_| !text.starts_with('+'));
        let found = match text {
            "cpu" => Some(Self::Cpu),
            "cpu-composed" => Some(Self::CpuComposed),
            "cuda" => Some(Self::Cuda(0)),
            _ => text.strip_prefix("cuda:").and_then(number).map(Self::Cuda),
        };
        found.ok_or_else(|| {
            format!("found device `{text}`, expected cpu, cpu-composed, cuda or cuda:NUMBER")
        })
    }
}

impl JsonSchema for DeviceName {
    fn schema_name() -> std::borrow::Cow<'static, str> {
        "DeviceName".into()
    }

    fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
        schemars::json_schema!({
            "description": "Where models work: `cpu`, `cpu-composed` (the CPU, by the operations that run on a GPU), \
                            `cuda` or `cuda:1`.",
            "type": "string",
            "pattern": "^(cpu|cpu-composed|cuda|cuda:[0-9]+)$",
        })
    }
}

impl TryFrom<String> for DeviceName {
    type Error = String;

    fn try_from(text: String) -> std::result::Result<Self, String> {
        text.parse()
    }
}

impl From<DeviceName> for String {
    fn from(name: DeviceName) -> Self {
        name.to_string()
    }
}

thread_local! {
    static KERNELS: Cell<usize> = const { Cell::new(0) };
}

/// How many operations of this thread were asked of our kernels so far, those that it had done by
/// [`on_worker`] with them: tests that nothing composed uses one.
pub fn kernel_calls() -> usize {
    KERNELS.get()
}

/// Counts one.
pub(crate) fn count_kernel() {
    KERNELS.set(KERNELS.get() + 1);
}

/// Runs something as [`kernels::on_worker`] does, perhaps in another thread, and counts its kernels here.
pub fn on_worker<R: Send>(f: impl FnOnce() -> R + Send) -> R {
    let (result, n) = kernels::on_worker(|| {
        // this worker may be in the middle of what somebody else counts
        let others = KERNELS.replace(0);
        let result = f();
        (result, KERNELS.replace(others))
    });
    KERNELS.set(KERNELS.get() + n);
    result
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_device_is_read_as_it_is_written() {
        for (text, name) in [
            ("cpu", DeviceName::Cpu),
            ("cpu-composed", DeviceName::CpuComposed),
            ("cuda", DeviceName::Cuda(0)),
            ("cuda:3", DeviceName::Cuda(3)),
        ] {
            assert_eq!(text.parse(), Ok(name));
            assert_eq!(name.to_string(), text);
        }
        assert_eq!("cuda:0".parse(), Ok(DeviceName::Cuda(0)));
        for text in ["gpu", "cuda:", "cuda:-1", "cuda:+1", "cuda1"] {
            let error = text.parse::<DeviceName>().unwrap_err();
            let expected = "expected cpu, cpu-composed, cuda or cuda:NUMBER";
            assert_eq!(error, format!("found device `{text}`, {expected}"));
        }
    }

    #[test]
    fn kernels_of_other_threads_count_for_who_asked_for_them() {
        let before = kernel_calls();
        on_worker(|| {
            count_kernel();
            on_worker(count_kernel);
        });
        assert_eq!(kernel_calls() - before, 2);
        std::thread::spawn(|| on_worker(count_kernel)).join().unwrap();
        assert_eq!(kernel_calls() - before, 2);
    }

    #[test]
    fn a_gpu_does_not_round_as_the_cpu_does_whatever_its_number() {
        let on_cuda = |gpu_id| rounding(Ops::Composed, DeviceLocation::Cuda { gpu_id });
        assert_eq!(on_cuda(0), on_cuda(1));
        let [kernels, composed] = Device::both().map(|device| device.rounding());
        assert!(on_cuda(0) != kernels && on_cuda(0) != composed && kernels != composed);
    }

    #[test]
    fn a_gpu_that_cannot_be_used_is_named() {
        let error = DeviceName::Cuda(999).open().unwrap_err().to_string();
        assert!(error.contains("cuda:999 cannot be used"), "{error}");
        assert_eq!(DeviceName::CpuComposed.open().unwrap().ops(), Ops::Composed);
    }
}
