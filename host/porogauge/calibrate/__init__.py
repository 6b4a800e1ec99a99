"""Bringing a head and a recipe into service and keeping them right.

procedure   what a procedure is: steps, readings, points, result
reading     raw records of the board become one reading
converter, gap, scale, lasers, environment, mixing
            one procedure each: its steps, and points -> result (no board, no files)
"""
