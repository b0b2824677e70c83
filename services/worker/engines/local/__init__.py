"""Engines that run weights in this process; the only room where torch may be imported."""
