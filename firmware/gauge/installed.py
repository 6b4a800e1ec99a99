"""What the board was given and keeps: its configuration, and the reference of its last
standardisation, each in two checked copies.

    >>> installed = Installed(hardware.store, head.check, selftest)
    >>> words = installed.load()  # at the start; None: `fault` says why there is none
    >>> words = installed.take(blob, outputs.all_off)  # ValueError, OSError: the old one stays
"""

from gauge import config, health
from gauge.config_store import Damaged, TwoCopies


class Installed:
    """`blob`: the configuration in force, None without one; `fault`: why there is none.

    `check(words)` raises ValueError for a configuration that this board cannot run.
    """

    def __init__(self, store, check, selftest):
        self._configuration = TwoCopies(store, "config")
        self._reference = TwoCopies(store, "reference")
        self._check = check
        self._selftest = selftest
        self.blob = None
        self.fault = "the board has no configuration: push a recipe"

    @property
    def copies(self):
        """Sound copies of the configuration, 0..2."""
        return self._configuration.sound

    @property
    def reference_copies(self):
        """Sound copies of the reference, 0..2."""
        return self._reference.sound

    def load(self):
        """Return the words of the stored configuration, checked; None when there is none."""
        selftest = self._selftest
        if not selftest.may_measure():
            self.fault = "replace the board: its self-test failed, " + selftest.why()
            return None
        try:
            blob = self._configuration.read()
            if blob is None:
                selftest.note_absent(health.SELF_TEST_CONFIGURATION)
                return None
            self._note_copies()
            words = self._unpack(blob)
        except Damaged as error:
            self._note_copies()
            self.fault = "stored configuration: %s; push recipe and calibration" % error
            return None
        except ValueError as error:
            self.fault = "stored configuration refused: %s" % error
            return None
        self.blob = blob
        self.fault = ""
        return words

    def take(self, blob, before_writing):
        """Check and store a configuration; return its words. Calls `before_writing()` in between.

        Raises ValueError with what is wrong with it, OSError when it could not be stored.
        """
        words = self._unpack(blob)
        if not self._selftest.may_measure():
            raise ValueError(self.fault)
        before_writing()
        self._configuration.write(blob)
        self._note_copies()
        self.blob = bytes(blob)
        self.fault = ""
        return words

    def current(self):
        """Return the configuration in force as its blob, None when there is none."""
        return self.blob

    def _unpack(self, blob):
        words = config.unpack(blob)
        self._check(words)
        return words

    def _note_copies(self):
        """Enter into the self-test how the configuration is kept."""
        text = "%d of its 2 copies is sound: flash full or worn" % self.copies
        self._selftest.note(health.SELF_TEST_CONFIGURATION, self.copies == 2, text)

    def reference(self):
        """Return the bytes of the reference that was kept; None: there is none to be used."""
        try:
            return self._reference.read()
        except Damaged:
            return None  # the calibration's is used, and a new one is due

    def keep_reference(self, data):
        """Keep a new reference. Raises OSError: it is in force all the same."""
        self._reference.write(data)
