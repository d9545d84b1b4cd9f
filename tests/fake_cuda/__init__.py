"""A GPU's view of the package on a machine without one.

Tensors on ``cuda:0`` have shapes, dtypes, layouts and devices but no numbers, as in torch's
``FakeTensorMode``; those on the CPU are real. So the code of the GPU runs, device by device and
copy by copy, and what a GPU would launch, wait for, copy and hold can be asserted.

The device guard and the stand-ins for ``torch.cuda`` hold for a whole process. Hence the tests of
it stand in ``checks/`` and run in processes of their own, which `test_fake_cuda` starts.
"""
