package org.morgan.call

import android.app.Notification
import android.app.NotificationChannel
import android.app.NotificationManager
import android.app.PendingIntent
import android.app.Service
import android.content.Intent
import android.content.pm.ServiceInfo
import android.net.ConnectivityManager
import android.net.Network
import android.os.IBinder
import androidx.core.app.NotificationCompat
import androidx.core.app.ServiceCompat
import kotlinx.coroutines.CoroutineScope
import kotlinx.coroutines.Dispatchers
import kotlinx.coroutines.SupervisorJob
import kotlinx.coroutines.cancel
import kotlinx.coroutines.launch
import org.webrtc.AudioTrack
import org.webrtc.MediaConstraints
import org.webrtc.PeerConnectionFactory

/** What the process's one call does, for the activity, which comes and goes (it is made anew when the phone is turned). */
object CallStates {
    private var last: Pair<CallState, Throwable?>? = null

    /** The activity, while it is there; hears at once how it stands. */
    var watcher: ((CallState, Throwable?) -> Unit)? = null
        set(value) {
            field = value
            last?.let { (state, error) -> value?.invoke(state, error) }
        }

    fun tell(state: CallState, error: Throwable?) {
        last = state to error
        watcher?.invoke(state, error)
    }
}

/** Holds the call, in the foreground and with the screen off. Started by the activity, stops itself with the call. */
class CallService : Service() {
    private val scope = CoroutineScope(SupervisorJob() + Dispatchers.Main.immediate)
    private lateinit var factory: PeerConnectionFactory
    private lateinit var microphone: AudioTrack
    private lateinit var audio: CallAudio
    private lateinit var connectivity: ConnectivityManager
    private var call: MorganCall? = null
    private var network: Network? = null

    private val networks = object : ConnectivityManager.NetworkCallback() {
        override fun onAvailable(available: Network) {
            scope.launch {
                // Wi-Fi to mobile data or back: the call moves at once, not when the old path is found dead.
                val before = network
                network = available
                if (before != null && before != available) call?.networkChanged()
            }
        }
    }

    override fun onBind(intent: Intent): IBinder? = null

    override fun onStartCommand(intent: Intent?, flags: Int, startId: Int): Int {
        if (intent?.action == HANG_UP) {
            call?.end() ?: stopSelf()
            return START_NOT_STICKY
        }
        ServiceCompat.startForeground(this, 1, notification(), ServiceInfo.FOREGROUND_SERVICE_TYPE_MICROPHONE)
        if (call == null) begin(intent?.getStringExtra(TOKEN))
        return START_NOT_STICKY
    }

    private fun begin(token: String?) {
        PeerConnectionFactory.initialize(PeerConnectionFactory.InitializationOptions.builder(applicationContext).createInitializationOptions())
        factory = PeerConnectionFactory.builder().createPeerConnectionFactory()
        val source = factory.createAudioSource(MediaConstraints())
        microphone = factory.createAudioTrack("microphone", source)
        // While a phone call has the sound, Morgan hears nothing and waits.
        audio = CallAudio(this) { interrupted -> microphone.setEnabled(!interrupted) }
        connectivity = getSystemService(ConnectivityManager::class.java)
        if (!audio.begin()) {
            CallStates.tell(CallState.ENDED, IllegalStateException("Another call has the microphone."))
            stopSelf()
            return
        }
        connectivity.registerDefaultNetworkCallback(networks)
        call = MorganCall(scope, factory, microphone, Signaling(BuildConfig.SERVER, token), "phone", null, { state, error ->
            CallStates.tell(state, error)
            if (state == CallState.ENDED) stopSelf()
        }).also { it.start() }
    }

    override fun onDestroy() {
        call?.let {
            it.end()
            connectivity.unregisterNetworkCallback(networks)
            audio.end()
        }
        scope.cancel()
        super.onDestroy()
    }

    private fun notification(): Notification {
        getSystemService(NotificationManager::class.java)
            .createNotificationChannel(NotificationChannel(CHANNEL, "Calls", NotificationManager.IMPORTANCE_LOW))
        val open = PendingIntent.getActivity(this, 0, Intent(this, MainActivity::class.java), PendingIntent.FLAG_IMMUTABLE)
        return NotificationCompat.Builder(this, CHANNEL).setContentTitle("Morgan").setContentText("In a call")
            .setSmallIcon(android.R.drawable.sym_action_call).setOngoing(true).setContentIntent(open).build()
    }

    companion object {
        const val TOKEN = "token"
        const val HANG_UP = "org.morgan.call.HANG_UP"
        private const val CHANNEL = "call"
    }
}
