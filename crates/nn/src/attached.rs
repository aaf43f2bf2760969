//! A gradient of our own beside a value that candle's operations made.
//!
//! candle keeps everything that leads to a value until its backward pass. Here the value is made of
//! detached tensors, and the backward pass makes anew what it needs: so attention does not keep its
//! matrix, and a frozen weight gets no gradient.

use std::sync::{Mutex, PoisonError};

use candle_core::backend::BackendStorage;
use candle_core::{
    CpuStorage, CudaStorage, CustomOp1, CustomOp3, Layout, Result, Shape, Storage, Tensor, bail,
};

/// Makes `value`, which was made of `xs`, one whose gradient for `xs` is `backward(x, value, dvalue)`.
pub(crate) fn attached(
    xs: &Tensor,
    value: Tensor,
    backward: impl Fn(&Tensor, &Tensor, &Tensor) -> Result<Tensor> + Send + Sync + 'static,
) -> Result<Tensor> {
    xs.contiguous()?.apply_op1(One { value: Value::new(&value)?, backward })
}

/// Gradients of three inputs, each where it is asked for.
pub(crate) type Three = (Option<Tensor>, Option<Tensor>, Option<Tensor>);

/// The same of three inputs.
pub(crate) fn attached_3(
    [a, b, c]: [&Tensor; 3],
    value: Tensor,
    backward: impl Fn([&Tensor; 3], &Tensor, &Tensor) -> Result<Three> + Send + Sync + 'static,
) -> Result<Tensor> {
    a.apply_op3(b, c, OfThree { value: Value::new(&value)?, backward })
}

/// The value until the forward pass takes it: the graph keeps the operation, and would keep the value twice.
struct Value(Mutex<Option<Tensor>>);

impl Value {
    /// In a storage of its own, from its first entry on.
    fn new(value: &Tensor) -> Result<Self> {
        let value = value.detach();
        let begins = value.is_contiguous() && value.layout().start_offset() == 0;
        let value = if begins { value } else { value.force_contiguous()? };
        Ok(Self(Mutex::new(Some(value))))
    }

    fn take(&self) -> Result<Tensor> {
        match self.0.lock().unwrap_or_else(PoisonError::into_inner).take() {
            Some(value) => Ok(value),
            None => bail!("a value was taken twice"),
        }
    }

    fn on_cpu(&self) -> Result<(CpuStorage, Shape)> {
        let value = self.take()?;
        let (storage, layout) = value.storage_and_layout();
        match &*storage {
            Storage::Cpu(storage) => Ok((storage.try_clone(layout)?, value.shape().clone())),
            _ => bail!("a value on another device than what it was made of"),
        }
    }

    fn on_cuda(&self) -> Result<(CudaStorage, Shape)> {
        let value = self.take()?;
        let (storage, layout) = value.storage_and_layout();
        match &*storage {
            Storage::Cuda(storage) => Ok((storage.try_clone(layout)?, value.shape().clone())),
            _ => bail!("a value on another device than what it was made of"),
        }
    }
}

struct One<F> {
    value: Value,
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
        self.value.on_cpu()
    }

    fn cuda_fwd(&self, _: &CudaStorage, _: &Layout) -> Result<(CudaStorage, Shape)> {
        self.value.on_cuda()
    }

    fn bwd(&self, xs: &Tensor, value: &Tensor, dvalue: &Tensor) -> Result<Option<Tensor>> {
        (self.backward)(&xs.detach(), &value.detach(), &dvalue.contiguous()?).map(Some)
    }
}

struct OfThree<F> {
    value: Value,
    backward: F,
}

impl<F> CustomOp3 for OfThree<F>
where
    F: Fn([&Tensor; 3], &Tensor, &Tensor) -> Result<Three> + Send + Sync,
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
        self.value.on_cpu()
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
        self.value.on_cuda()
    }

    fn bwd(&self, a: &Tensor, b: &Tensor, c: &Tensor, value: &Tensor, d: &Tensor) -> Result<Three> {
        let [a, b, c] = [a, b, c].map(Tensor::detach);
        (self.backward)([&a, &b, &c], &value.detach(), &d.contiguous()?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::{Device, Var};

    #[test]
    fn the_operation_lets_go_of_its_value() -> Result<()> {
        let xs = Tensor::new(&[1f32, 2.], &Device::Cpu)?;
        let op = One {
            value: Value::new(&(&xs * 3.)?)?,
            backward: |_: &_, _: &_, d: &Tensor| Ok(d.clone()),
        };
        let (storage, layout) = xs.storage_and_layout();
        let Storage::Cpu(storage) = &*storage else { bail!("on the CPU") };
        let (made, shape) = op.cpu_fwd(storage, layout)?;
        assert_eq!((made.as_slice::<f32>()?, shape.dims()), (&[3., 6.][..], &[2][..]));
        assert!(op.value.0.lock().unwrap().is_none());
        assert!(op.cpu_fwd(storage, layout).is_err());
        Ok(())
    }

    #[test]
    fn part_of_a_storage_is_a_value_too() -> Result<()> {
        let xs = Var::new(&[1f32, 2.], &Device::Cpu)?;
        let longer = Tensor::new(&[0f32, 5., 6.], &Device::Cpu)?;
        let ys = attached(&xs, longer.narrow(0, 1, 2)?, |_, ys, d| ys * d)?;
        assert_eq!(ys.to_vec1::<f32>()?, [5., 6.]);
        let grads = ys.sum_all()?.backward()?;
        assert_eq!(grads.get(&xs).expect("a gradient").to_vec1::<f32>()?, [5., 6.]);
        Ok(())
    }
}
