//! A gradient of our own beside a value that candle's operations made.
//!
//! candle keeps everything that leads to a value until its backward pass. Here the value is made of
//! detached tensors, and the backward pass makes anew what it needs: so attention does not keep its
//! matrix, and a frozen weight gets no gradient.

use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp3, Layout, Result, Shape, Storage, Tensor, bail,
};

/// Makes `value`, which was made of `xs`, one whose gradient for `xs` is `backward(x, value, dvalue)`.
pub(crate) fn attached(
    xs: &Tensor,
    value: &Tensor,
    backward: impl Fn(&Tensor, &Tensor, &Tensor) -> Result<Tensor> + Send + Sync + 'static,
) -> Result<Tensor> {
    xs.contiguous()?.apply_op1(One { value: whole(value)?, backward })
}

/// Gradients of three inputs, each where it is asked for.
pub(crate) type Three = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

/// The same of three inputs; `backward` is also told which of them ask for a gradient.
pub(crate) fn attached_3(
    [a, b, c]: [&Tensor; 3],
    value: &Tensor,
    backward: impl Fn([&Tensor; 3], [bool; 3], &Tensor, &Tensor) -> Result<Three>
    + Send
    + Sync
    + 'static,
) -> Result<Tensor> {
    a.apply_op3(b, c, OfThree { value: whole(value)?, backward })
}

/// The value in a storage of its own, from its first entry on.
fn whole(value: &Tensor) -> Result<Tensor> {
    let value = value.detach();
    let begins = value.is_contiguous() && value.layout().start_offset() == 0;
    if begins { Ok(value) } else { value.force_contiguous() }
}

fn on_cpu(value: &Tensor) -> Result<(CpuStorage, Shape)> {
    let (storage, layout) = value.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => Ok((storage.try_clone(layout)?, value.shape().clone())),
        _ => bail!("a value on another device than what it was made of"),
    }
}

fn on_cuda(value: &Tensor) -> Result<(CudaStorage, Shape)> {
    let (storage, layout) = value.storage_and_layout();
    match &*storage {
        Storage::Cuda(storage) => Ok((storage.try_clone(layout)?, value.shape().clone())),
        _ => bail!("a value on another device than what it was made of"),
    }
}

struct One<F> {
    value: Tensor,
    backward: F,
}

impl<F> CustomOp1 for One<F>
where
    F: Fn(&Tensor, &Tensor, &Tensor) -> Result<Tensor> + Send + Sync,
{
    fn name(&self) -> &'static str {
        "attached"
    }

    fn cpu_fwd(&self, _: &CpuStorage, _: &Layout) -> Result<(CpuStorage, Shape)> {
        on_cpu(&self.value)
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        on_cuda(&self.value)
    }

    fn bwd(&self, xs: &Tensor, value: &Tensor, dvalue: &Tensor) -> Result<Option<Tensor>> {
        (self.backward)(&xs.detach(), &value.detach(), &dvalue.contiguous()?).map(Some)
    }
}

struct OfThree<F> {
    value: Tensor,
    backward: F,
}

impl<F> CustomOp3 for OfThree<F>
where
    F: Fn([&Tensor; 3], [bool; 3], &Tensor, &Tensor) -> Result<Three> + Send + Sync,
{
    fn name(&self) -> &'static str {
        "attached"
    }

    fn cpu_fwd(
        &self,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
        _: &CpuStorage,
        _: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        on_cpu(&self.value)
    }

    fn cuda_fwd(
        &self,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
        _: &CudaStorage,
        _: &Layout,
    ) -> Result<(CudaStorage, Shape)> {
        on_cuda(&self.value)
    }

    fn bwd(&self, a: &Tensor, b: &Tensor, c: &Tensor, value: &Tensor, d: &Tensor) -> Result<Three> {
        let asked = [a, b, c].map(Tensor::track_op);
        let [a, b, c] = [a, b, c].map(Tensor::detach);
        (self.backward)([&a, &b, &c], asked, &value.detach(), &d.contiguous()?)
    }
}
