/* Put in front of what mypyc generates. Its deallocators use CPython's trashcan, which writes into the header that the
 * garbage collector puts before an object; an `acyclic` class has none, and the write went to somebody else's memory. */
#if __has_include("CPy.h")
#include "CPy.h"

#ifdef Py_TRASHCAN_BEGIN_CONDITION
#undef CPy_TRASHCAN_BEGIN
#define CPy_TRASHCAN_BEGIN(op, dealloc)                                                                                \
    Py_TRASHCAN_BEGIN_CONDITION(                                                                                       \
        op, PyObject_IS_GC((PyObject *)(op)) && Py_TYPE((PyObject *)(op))->tp_dealloc == (destructor)(dealloc))
#endif
#endif
