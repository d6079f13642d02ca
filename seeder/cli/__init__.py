"""The commands: parse, call, print.

Help and completion wait for these modules. So each imports pure code at its top, types under TYPE_CHECKING, and all
else in the function that uses it.
"""
