package org.morgan.call

import android.Manifest
import android.content.Intent
import android.content.pm.PackageManager
import android.os.Build
import android.os.Bundle
import android.view.Gravity
import android.widget.Button
import android.widget.LinearLayout
import android.widget.TextView
import androidx.activity.ComponentActivity
import androidx.activity.result.contract.ActivityResultContracts
import androidx.core.content.ContextCompat

/** One button; a link morgan://join?token=mt_... makes whoever opens it a caller. */
class MainActivity : ComponentActivity() {
    private lateinit var button: Button
    private lateinit var words: TextView
    private var running = false

    private val permissions = registerForActivityResult(ActivityResultContracts.RequestMultiplePermissions()) {
        if (mayRecord()) place() else words.text = "Morgan needs the microphone."
    }

    override fun onCreate(savedInstanceState: Bundle?) {
        super.onCreate(savedInstanceState)
        button = Button(this).apply { text = "Call" }
        words = TextView(this).apply { accessibilityLiveRegion = TextView.ACCESSIBILITY_LIVE_REGION_POLITE }
        button.setOnClickListener { if (running) hangUp() else ask() }
        setContentView(
            LinearLayout(this).apply {
                orientation = LinearLayout.VERTICAL
                gravity = Gravity.CENTER
                addView(button)
                addView(words)
            },
        )
    }

    override fun onNewIntent(intent: Intent) {
        super.onNewIntent(intent)
        setIntent(intent)
    }

    override fun onStart() {
        super.onStart()
        CallStates.watcher = ::show
    }

    override fun onStop() {
        CallStates.watcher = null
        super.onStop()
    }

    private fun ask() {
        val wanted = buildList {
            add(Manifest.permission.RECORD_AUDIO)
            if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.S) add(Manifest.permission.BLUETOOTH_CONNECT)
            if (Build.VERSION.SDK_INT >= Build.VERSION_CODES.TIRAMISU) add(Manifest.permission.POST_NOTIFICATIONS)
        }
        if (mayRecord()) place() else permissions.launch(wanted.toTypedArray())
    }

    private fun mayRecord() =
        ContextCompat.checkSelfPermission(this, Manifest.permission.RECORD_AUDIO) == PackageManager.PERMISSION_GRANTED

    private fun place() {
        CallStates.tell(CallState.CONNECTING, null)
        val token = intent?.data?.getQueryParameter("token")
        val call = Intent(this, CallService::class.java).putExtra(CallService.TOKEN, token)
        ContextCompat.startForegroundService(this, call)
    }

    private fun hangUp() {
        startService(Intent(this, CallService::class.java).setAction(CallService.HANG_UP))
    }

    private fun show(state: CallState, error: Throwable?) {
        running = state != CallState.ENDED
        button.text = if (running) "Hang up" else "Call again"
        words.text = error?.message ?: state.name.lowercase()
    }
}
