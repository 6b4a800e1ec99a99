"""Bringing a head and a recipe into service and keeping them right.

procedure, reading      what a procedure is: steps, readings, points, result; records -> reading
procedures              the list: converter, gap, scale, lasers, environment, mixing; each one its
                        steps, and points -> result (no board, no files)
physics, linear         what a head makes of readings; least squares with everything as unknown
points, session, files  points as CSV; a procedure under way; files before and after, the book
live                    a gauge on a port as the place where steps are done
verify, standardisations, study
                        checks without adjusting, their trend; type 1 and gauge R&R
pictures                of residuals, trend and studies
"""
