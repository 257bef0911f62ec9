"""The one composition root: opens a project, binds its adapters, and offers every verb to the interfaces."""

from __future__ import annotations

from remint.workspace.workspace import ReadingWorkspace as ReadingWorkspace
from remint.workspace.workspace import Survey as Survey
from remint.workspace.workspace import Workspace as Workspace
