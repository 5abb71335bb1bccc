"""The one exception users see."""


class MosaicFusionError(Exception):
    """Something the user can mend; the message says what was wrong, the value and the fix.

    The command line prints it without a traceback and exits with status 2.
    """
