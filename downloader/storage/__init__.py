"""Where the bytes of results lie: a folder of this machine; later, object stores."""
